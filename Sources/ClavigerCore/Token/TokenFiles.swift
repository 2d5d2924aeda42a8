import Glibc

/// The files of a token that keeps its objects in a directory: checked, copied aside and put back from outside.
///
/// Such a token (configured as `storage-format = "attribute-files"`) rewrites its token file in place at every login, without a sync: a process killed in
/// between leaves it empty, and the token with all its keys unreadable. And it reports success for keys whose file could not be
/// written. So before each login the token file is copied aside, durably; a live one that is empty or does not parse is put back;
/// and a new key's file is synced, read back and parsed to its exact end before the key is acknowledged.
package struct TokenFiles: Sendable {
    /// The directory that holds one directory a token.
    package let storage: String
    /// Where the copies stand.
    package let copies: String

    /// The file of the token itself, one in each token's directory.
    package static let tokenFile = "token.object"

    /// Whether the kernel is asked what comes into the directories; else they are listed.
    private let isWatched: Bool

    /// The files below `storage`; copies go into `stateDirectory`.
    package init(storage: String, stateDirectory: String, isWatched: Bool = true) {
        self.storage = storage
        self.isWatched = isWatched
        copies = stateDirectory + "/token-copies"
    }

    /// Puts back every token file that is empty or does not parse, from its copy.
    ///
    /// - Returns: what was put back, for the log; empty when all is well.
    package func restore() throws(FileError) -> [String] {
        guard Files.status(copies) != nil else { return [] }
        var restored: [String] = []
        for token in try Files.list(copies) {
            let copy = copies + "/" + token + "/" + TokenFiles.tokenFile
            let live = storage + "/" + token + "/" + TokenFiles.tokenFile
            // A directory or file that is gone was taken away by somebody; only what a killed login leaves is mended.
            guard Files.status(live) != nil, Files.status(copy) != nil else { continue }
            let damaged = try Files.read(live)
            guard !TokenFiles.parses(damaged) else { continue }
            let content = try Files.read(copy)
            guard TokenFiles.parses(content) else { continue }
            // Kept: it may be newer, and only not understood.
            if !damaged.isEmpty {
                try Files.replace(copies + "/" + token + "/" + TokenFiles.damagedFile, with: damaged.span.bytes)
            }
            try Files.replace(live, with: content.span.bytes)
            restored.append(live)
        }
        return restored
    }

    /// Copies every token file that parses aside, durably. Called before each login and after each success.
    ///
    /// - Parameter accepted: whether the token has just taken the PIN. Such a copy is kept under a name of its own as well, and no later
    ///   attempt replaces it: a file that parses can still be damaged where the PIN's record is, and then this one has the token.
    package func copy(accepted: Bool = false) throws(FileError) {
        try Files.makeDirectory(copies)
        for token in try tokenDirectories() {
            let content = try Files.read(storage + "/" + token + "/" + TokenFiles.tokenFile)
            guard TokenFiles.parses(content) else { continue }
            try Files.makeDirectory(copies + "/" + token)
            for name in accepted ? TokenFiles.copyNames : [TokenFiles.tokenFile] {
                let target = copies + "/" + token + "/" + name
                // An unchanged copy needs no new writing: its bytes are durable already.
                if let old = try? Files.read(target), old == content { continue }
                try Files.replace(target, with: content.span.bytes)
                try Files.syncDirectory(copies)
            }
        }
    }

    /// The copy of the last login that succeeded. Put back by an operator only: it may be older than what the token was told since.
    package static let acceptedFile = "token.object.accepted"

    /// What a copy was put back over last, as it was found.
    package static let damagedFile = "token.object.damaged"

    private static let copyNames = [tokenFile, acceptedFile]

    /// Makes the token files themselves durable, after the token was initialised or a PIN set.
    package func syncTokens() throws(FileError) {
        for token in try tokenDirectories() {
            try Files.sync(storage + "/" + token + "/" + TokenFiles.tokenFile)
            try Files.syncDirectory(storage + "/" + token)
        }
        try Files.syncDirectory(storage)
    }

    /// Makes it durable that files are gone.
    package func syncDirectories() throws(FileError) {
        for token in try tokenDirectories() { try Files.syncDirectory(storage + "/" + token) }
    }

    /// Destroys the copies: they hold the token's key under the PIN that was valid then. Called with every change of a PIN.
    package func destroyCopies() throws(FileError) {
        guard Files.status(copies) != nil else { return }
        for token in try Files.list(copies) {
            for name in TokenFiles.copyNames + [TokenFiles.damagedFile] {
                let file = copies + "/" + token + "/" + name
                guard unlink(file) == 0 || errno == ENOENT else { throw FileError("remove", file, errno) }
            }
            try Files.syncDirectory(copies + "/" + token)
        }
    }

    /// The names of the directories that hold a token's file, whole or not.
    package func tokens() throws(FileError) -> [String] { try tokenDirectories() }

    /// Sets aside what a killed C_InitToken left: token files that are not whole, without a copy and without any object, in
    /// directories that were not there before. No module could use such a token, and some fail as a whole because of it. The file is
    /// renamed, so that the directory is no token's any more; nothing is deleted.
    ///
    /// - Parameter known: the directories that were there before C_InitToken was called.
    /// - Returns: the new paths, for the log.
    package func setAsideHalfMade(except known: Set<String>) throws(FileError) -> [String] {
        var moved: [String] = []
        for token in try tokenDirectories() where !known.contains(token) {
            let directory = storage + "/" + token
            let file = directory + "/" + TokenFiles.tokenFile
            guard try !TokenFiles.parses(Files.read(file)),
                Files.status(copies + "/" + token + "/" + TokenFiles.tokenFile) == nil,
                try !Files.list(directory).contains(where: { $0.hasSuffix(".object") && $0 != TokenFiles.tokenFile })
            else { continue }
            let aside = file + ".half-made"
            guard rename(file, aside) == 0 else { throw FileError("rename", file, errno) }
            try Files.syncDirectory(directory)
            moved.append(aside)
        }
        return moved
    }

    /// The object files that are there now, in all tokens' directories.
    package func objects() throws(FileError) -> Set<String> {
        var paths: Set<String> = []
        for token in try tokenDirectories() {
            for name in try Files.list(storage + "/" + token) where name.hasSuffix(".object") && name != TokenFiles.tokenFile {
                paths.insert(storage + "/" + token + "/" + name)
            }
        }
        return paths
    }

    /// What is in the tokens' directories at a moment: as names, or as what the kernel tells of them from then on.
    package struct Moment: Sendable {
        fileprivate var names: [String: Set<Int>] = [:]
        fileprivate var arrivals: Arrivals?
    }

    /// What is there now, to be compared with what is there later. With every change, so it must not take long with many objects.
    package func moment() throws(FileError) -> Moment {
        var moment = Moment()
        if isWatched, let arrivals = Arrivals(in: try tokenDirectories().map({ storage + "/" + $0 })) {
            moment.arrivals = arrivals
            return moment
        }
        for token in try tokenDirectories() { moment.names[token] = try Files.digests(storage + "/" + token) }
        return moment
    }

    /// The object files that were not there at a moment. Two names that are one number would leave a new file out, which its maker takes
    /// for a write that failed.
    package func objects(since before: Moment) throws(FileError) -> Set<String> {
        var paths: Set<String> = []
        for token in try tokenDirectories() {
            let directory = storage + "/" + token
            let came = try before.arrivals?.names(in: directory)
            let names = if let came { Array(came) } else { try Files.list(directory, except: before.names[token] ?? []) }
            for name in names where name.hasSuffix(".object") && name != TokenFiles.tokenFile {
                // One that has gone again is none.
                if came == nil || Files.status(directory + "/" + name) != nil { paths.insert(directory + "/" + name) }
            }
        }
        return paths
    }

    /// The object files that are not whole, ascending.
    package func damaged() throws(FileError) -> [String] {
        var damaged: [String] = []
        for path in try objects().sorted() where !TokenFiles.parses((try? Files.read(path)) ?? []) { damaged.append(path) }
        return damaged
    }

    /// Makes object files durable and proves each to be whole.
    ///
    /// - Parameter passingDamaged: whether files that are not whole are passed over.
    /// - Returns: false when one is not whole: the token swallowed a write error.
    package func secure(_ paths: Set<String>, passingDamaged: Bool = false) throws(FileError) -> Bool {
        for path in paths {
            try Files.sync(path)
            guard try TokenFiles.parses(Files.read(path)) || passingDamaged else { return false }
        }
        for directory in Set(paths.map(Files.parent)) { try Files.syncDirectory(directory) }
        return true
    }

    private func tokenDirectories() throws(FileError) -> [String] {
        try Files.list(storage).filter { Files.status(storage + "/" + $0 + "/" + TokenFiles.tokenFile) != nil }
    }

    /// Whether `bytes` are the whole file of a token or of a key: a generation number, then attributes to the exact end.
    ///
    /// An attribute is type, kind and value, all numbers 8 bytes big-endian: kind 1 a byte, 2 a number, 3 a length and bytes,
    /// 4 a length and nested attributes (not descended into: their length is what must fit), 5 a count and numbers. They stand by
    /// ascending type and nothing marks the end, so a file cut off between two is told by what every whole one has: a key its
    /// CKA_ALLOWED_MECHANISMS, a data object its CKA_DESTROYABLE, a token the SO PIN's record, and the user PIN's when its flags say that one is set.
    package static func parses(_ bytes: [UInt8]) -> Bool {
        var reader = Reader(bytes: bytes)
        guard reader.skip(8) else { return false }
        var last: UInt64?
        var types: Set<UInt64> = []
        var tokenFlags: UInt64 = 0
        var isData = false
        while reader.position < bytes.count {
            guard let type = reader.number(), last.map({ $0 < type }) ?? true, let kind = reader.number() else { return false }
            switch kind {
            case 1: guard reader.skip(1) else { return false }
            case 2:
                guard let number = reader.number() else { return false }
                if type == StoredType.tokenFlags { tokenFlags = number }
                if type == StoredType.objectClass { isData = number == 0 }
            case 3, 4: guard let count = reader.number(), reader.skip(count) else { return false }
            case 5:
                let (size, overflow) = (reader.number() ?? .max).multipliedReportingOverflow(by: 8)
                guard !overflow, reader.skip(size) else { return false }
            case _: return false
            }
            types.insert(type)
            last = type
        }
        guard types.contains(StoredType.tokenFlags) else {
            // A data object (CKO_DATA is 0) ends with CKA_DESTROYABLE.
            return isData
                ? types.contains(StoredType.value) && last == StoredType.destroyable
                : types.contains(StoredType.allowedMechanisms)
        }
        let hasUserPIN = tokenFlags & userPINInitialized != 0
        return types.contains(StoredType.officerPIN) && (!hasUserPIN || types.contains(StoredType.userPIN))
    }

    /// Whether a file begins as a data object's does: CKA_CLASS stands first, a number (kind 2) that is 0 for CKO_DATA.
    package static func isDataObject(_ path: String) -> Bool {
        guard let bytes = try? Files.read(path) else { return false }
        var reader = Reader(bytes: bytes)
        return reader.skip(8) && reader.number() == StoredType.objectClass && reader.number() == 2 && reader.number() == 0
    }

    /// Attribute types as they stand in the files.
    private enum StoredType {
        static let objectClass: UInt64 = 0
        static let value: UInt64 = 0x11
        static let destroyable: UInt64 = 0x172
        static let allowedMechanisms: UInt64 = 0x4000_0600
        // The format's own, of the vendor range.
        static let tokenFlags: UInt64 = 0x8000_534b
        static let officerPIN: UInt64 = 0x8000_534c
        static let userPIN: UInt64 = 0x8000_534d
    }

    /// CKF_USER_PIN_INITIALIZED.
    private static let userPINInitialized: UInt64 = 0x8

    /// Goes through a file's bytes; no number in them can lead it outside.
    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        mutating func number() -> UInt64? {
            guard bytes.count - position >= 8 else { return nil }
            defer { position += 8 }
            return bytes[position..<position + 8].reduce(0) { $0 << 8 | UInt64($1) }
        }

        mutating func skip(_ count: UInt64) -> Bool {
            guard count <= UInt64(bytes.count - position) else { return false }
            position += Int(count)
            return true
        }
    }
}
