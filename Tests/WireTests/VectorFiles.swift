import ClavigerWire
import Foundation
import Testing

/// A checked-in file of `key: value` lines, with the blocks `fields:` and `frame:` where it is a message.
struct Vector: CustomTestStringConvertible {
    /// The file's name without its ending.
    let file: String
    /// What stands before the blocks.
    let headers: [String: String]
    /// The readable fields, as they stand in the file.
    let fields: String
    /// The frame; empty where there is none.
    let frame: [UInt8]

    var testDescription: String { file }

    init(url: URL) throws {
        let text = try String(contentsOf: url, encoding: .utf8)
        let parts = text.components(separatedBy: "\nframe:\n")
        let upper = parts[0].components(separatedBy: "\nfields:\n")
        file = url.deletingPathExtension().lastPathComponent
        headers = Dictionary(
            upper[0].split(separator: "\n").map { line in
                let (key, value) = line.split(at: ":")
                return (key, value)
            }, uniquingKeysWith: { first, _ in first })
        fields = upper.count > 1 ? upper[1].trimmingCharacters(in: .newlines) : ""
        guard let frame = WireTests.bytes(hex: parts.count > 1 ? parts[1] : "") else { throw VectorError.notHexadecimal(file) }
        self.frame = frame
    }

    /// The value of a header; empty when it is not there, which no comparison expects.
    subscript(_ key: String) -> String { headers[key] ?? "" }

    /// The header's value as bytes.
    func bytes(_ key: String) throws -> [UInt8] {
        guard let value = headers[key], let bytes = WireTests.bytes(hex: value) else { throw VectorError.notHexadecimal(file) }
        return bytes
    }

    /// The header's value as JSON.
    func json<Value: Decodable>(_ key: String, as type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(self[key].utf8))
    }

    /// The frame's header.
    var frameHeader: FrameHeader {
        get throws { try FrameHeader(frame.span.bytes) }
    }

    /// The frame's body.
    var body: [UInt8] { Array(frame.dropFirst(Limits.headerLength)) }

    /// Where the given bytes stand in the frame for the `occurrence`th time.
    func part(_ hexadecimal: String, occurrence: Int = 1) throws -> ByteRange {
        guard let wanted = WireTests.bytes(hex: hexadecimal) else { throw VectorError.notHexadecimal(file) }
        var found = 0
        for offset in Limits.headerLength...max(Limits.headerLength, frame.count - wanted.count) {
            guard frame.count - offset >= wanted.count, frame[offset..<offset + wanted.count].elementsEqual(wanted) else { continue }
            found += 1
            if found == occurrence { return ByteRange(offset: offset, count: wanted.count) }
        }
        throw VectorError.notFound(hexadecimal)
    }
}

enum VectorError: Error {
    case notHexadecimal(String)
    case notFound(String)
    case noSuchFile(String)
}

extension StringProtocol {
    /// What stands before the first `separator` and after it, without the spaces between.
    fileprivate func split(at separator: Character) -> (String, String) {
        guard let index = firstIndex(of: separator) else { return (String(self), "") }
        return (String(self[..<index]), self[self.index(after: index)...].trimmingCharacters(in: .whitespaces))
    }
}

/// The files that the tests read, found from where this source stands: tests run from a source checkout.
enum Checkout {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let vectors = root.appendingPathComponent("Tests/Vectors")
    static let corpus = root.appendingPathComponent("Tests/Corpus")
    static let protocolPage = root.appendingPathComponent("Sources/ClavigerWire/Documentation.docc/Protocol.md")

    /// The vectors of a folder, by name.
    static func vectors(_ folder: String, in parent: URL = vectors) throws -> [Vector] {
        let urls = try FileManager.default.contentsOfDirectory(
            at: parent.appendingPathComponent(folder), includingPropertiesForKeys: nil)
        let found = try urls.filter { $0.pathExtension == "txt" }.map { try Vector(url: $0) }
        guard !found.isEmpty else { throw VectorError.noSuchFile(folder) }
        return found.sorted { $0.file < $1.file }
    }

    /// One vector.
    static func vector(_ folder: String, _ name: String) throws -> Vector {
        try Vector(url: vectors.appendingPathComponent(folder).appendingPathComponent(name + ".txt"))
    }
}
