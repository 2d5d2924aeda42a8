import ClavigerCore
import Glibc

/// The token that is being made: which others were there before, written durably before C_InitToken. A kill in the middle of that call
/// leaves half a token, and only this note tells it from somebody else's.
struct PendingToken {
    private let directory: String
    private var path: String { directory + "/tokens-before" }

    init(stateDirectory: String) { directory = stateDirectory + "/token-init" }

    /// Notes that a token will be made beside these.
    func note(_ tokens: [String]) throws(AdminError) {
        let text = Array(tokens.map { $0 + "\n" }.joined().utf8)
        try explain(AdminError.file) { () throws(FileError) in
            try Files.makeDirectory(directory)
            try Files.replace(path, with: text.span.bytes)
        }
    }

    /// The tokens that were there before one was begun; nil when none was.
    func before() throws(AdminError) -> Set<String>? {
        guard Files.status(path) != nil else { return nil }
        return try explain(AdminError.file) { () throws(FileError) in
            Set(String(decoding: try Files.read(path), as: UTF8.self).split(separator: "\n").map(String.init))
        }
    }

    /// Forgets the note, once the set-up is whole.
    func remove() { unlink(path) }
}
