import Glibc

/// The files of a token that keeps its objects in a directory: checked, copied aside and put back from outside.
///
/// Such a token (SoftHSM 2's `file` store) rewrites its token file in place at every login, without a sync: a process killed in
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

    /// The files below `storage`; copies go into `stateDirectory`.
    package init(storage: String, stateDirectory: String) {
        self.storage = storage
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
            guard !TokenFiles.parses(try Files.read(live)) else { continue }
            let content = try Files.read(copy)
            guard TokenFiles.parses(content) else { continue }
            try Files.replace(live, with: content.span.bytes)
            restored.append(live)
        }
        return restored
    }

    /// Copies every token file that parses aside, durably. Called before each login and after each success.
    package func copy() throws(FileError) {
        try Files.makeDirectory(copies)
        for token in try tokenDirectories() {
            let content = try Files.read(storage + "/" + token + "/" + TokenFiles.tokenFile)
            guard TokenFiles.parses(content) else { continue }
            try Files.makeDirectory(copies + "/" + token)
            let target = copies + "/" + token + "/" + TokenFiles.tokenFile
            // An unchanged copy needs no new writing: its bytes are durable already.
            if let old = try? Files.read(target), old == content { continue }
            try Files.replace(target, with: content.span.bytes)
            try Files.syncDirectory(copies)
        }
    }

    /// Makes the token files themselves durable, after the token was initialised or a PIN set.
    package func syncTokens() throws(FileError) {
        for token in try tokenDirectories() {
            try Files.sync(storage + "/" + token + "/" + TokenFiles.tokenFile)
            try Files.syncDirectory(storage + "/" + token)
        }
        try Files.syncDirectory(storage)
    }

    /// Destroys the copies: they hold the token's key under the PIN that was valid then. Called with every change of a PIN.
    package func destroyCopies() throws(FileError) {
        guard Files.status(copies) != nil else { return }
        for token in try Files.list(copies) {
            let file = copies + "/" + token + "/" + TokenFiles.tokenFile
            guard unlink(file) == 0 || errno == ENOENT else { throw FileError("remove", file, errno) }
            try Files.syncDirectory(copies + "/" + token)
        }
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

    /// Makes object files durable and proves each to be whole.
    ///
    /// - Returns: false when one does not parse to its exact end: the token swallowed a write error.
    package func secure(_ paths: Set<String>) throws(FileError) -> Bool {
        for path in paths {
            try Files.sync(path)
            try Files.syncDirectory(Files.parent(of: path))
            guard TokenFiles.parses(try Files.read(path)) else { return false }
        }
        return true
    }

    private func tokenDirectories() throws(FileError) -> [String] {
        try Files.list(storage).filter { Files.status(storage + "/" + $0 + "/" + TokenFiles.tokenFile) != nil }
    }

    /// Whether `bytes` are a whole object file: a generation number, then attributes to the exact end, at least one.
    ///
    /// An attribute is type, kind and value, all numbers 8 bytes big-endian: kind 1 a byte, 2 a number, 3 a length and bytes,
    /// 4 a length and nested attributes (not descended into: their length is what must fit), 5 a count and numbers.
    package static func parses(_ bytes: [UInt8]) -> Bool {
        var position = 0
        func number() -> Int? {
            guard bytes.count - position >= 8 else { return nil }
            let value = bytes[position..<position + 8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            position += 8
            return Int(exactly: value)
        }
        func skip(_ count: Int?) -> Bool {
            guard let count, count <= bytes.count - position else { return false }
            position += count
            return true
        }
        guard skip(8) else { return false }
        var attributes = 0
        while position < bytes.count {
            guard skip(8), let kind = number() else { return false }
            switch kind {
            case 1: guard skip(1) else { return false }
            case 2: guard skip(8) else { return false }
            case 3, 4: guard skip(number()) else { return false }
            case 5:
                guard let count = number(), count <= bytes.count / 8, skip(count * 8) else { return false }
            case _: return false
            }
            attributes += 1
        }
        return attributes > 0
    }
}
