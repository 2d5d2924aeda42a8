import ClavigerWire
import Cryptoki
import Glibc
import SecureMemory

/// What a token's generator gave first after its last initialisation, as hashes: a generator that begins its stream anew with each
/// initialisation gives the same again, and would make the same keys again.
package struct RandomWitness: Sendable, Equatable {
    /// How many numbers are drawn, and the length of each in bytes: that of an IV.
    package static let draws = 16
    package static let drawLength = 12

    /// The hashes of the numbers drawn.
    package private(set) var hashes: Set<[UInt8]> = []

    /// A witness of nothing.
    package init() {}

    /// Draws from the token.
    ///
    /// - Throws: what the token says.
    package init(drawingFrom session: inout Session) throws(CryptokiError) {
        try self.init(drawing: RandomWitness.draws, from: &session)
    }

    /// Draws so many numbers.
    package init(drawing count: Int, from session: inout Session) throws(CryptokiError) {
        for _ in 0..<count {
            var bytes = [UInt8](repeating: 0, count: RandomWitness.drawLength)
            let outcome = bytes.withUnsafeMutableBytes { buffer in
                Result { () throws(CryptokiError) in try session.random(into: buffer) }
            }
            try outcome.get()
            // A number that comes twice, and one that is nothing at all, make fewer hashes than draws.
            if bytes.contains(where: { $0 != 0 }) { hashes.insert(SHA256.digest(bytes.span.bytes)) }
        }
    }

    /// Whether the numbers drawn differ from one another and are not zero.
    package var isVaried: Bool { hashes.count == RandomWitness.draws }

    /// Whether any number of `other` has come again.
    package func repeats(_ other: RandomWitness) -> Bool { !hashes.isDisjoint(with: other.hashes) }

    /// Takes in what another one has seen.
    package mutating func join(_ other: RandomWitness) { hashes.formUnion(other.hashes) }

    /// Where it is kept, so that the next process can ask it.
    package static func path(_ stateDirectory: String) -> String { stateDirectory + "/random-witness" }

    /// Reads the witness that the last process left; one of nothing when there is none, or none that is whole.
    package static func read(_ stateDirectory: String) throws(FileError) -> RandomWitness {
        var witness = RandomWitness()
        let bytes: [UInt8]
        do throws(FileError) {
            bytes = try Files.read(path(stateDirectory))
        } catch {
            guard error.code == ENOENT else { throw error }
            return witness
        }
        guard bytes.count == draws * SHA256.byteCount else { return witness }
        for start in stride(from: 0, to: bytes.count, by: SHA256.byteCount) {
            witness.hashes.insert(Array(bytes[start..<start + SHA256.byteCount]))
        }
        return witness
    }

    /// Leaves the witness for the next process, durably. One that is not varied is left out: it is dangerous by itself.
    package func write(_ stateDirectory: String) throws(FileError) {
        guard isVaried else { return }
        // Ascending, so that the file says nothing of the order in which they came.
        let sorted = hashes.sorted { $0.lexicographicallyPrecedes($1) }
        try Files.replace(RandomWitness.path(stateDirectory), with: Array(sorted.joined()).span.bytes)
    }
}
