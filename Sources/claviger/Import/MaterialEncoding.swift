import ArgumentParser
import ClavigerClient
import ClavigerImport

/// How key material stands in a file.
enum MaterialEncoding: String, CaseIterable, ExpressibleByArgument {
    /// The bytes themselves.
    case raw
    /// Two hexadecimal digits a byte, either case.
    case hex
    /// RFC 4648 section 4, with its padding.
    case base64

    /// The most characters that a key of 256 bits takes in any encoding.
    static let maximumText = 64
    /// One newline at the end, as editors and tools leave it, is no part of text.
    private static let newline = UInt8(ascii: "\n")

    /// The material that `text` stands for, in locked memory; nil when it is not of this encoding.
    func decode(_ text: borrowing SecretBytes) throws(CommandFailure) -> SecretBytes? {
        switch self {
        case .raw: return try MaterialEncoding.locked { () throws(SecureMemoryError) in try text.prefix(text.count) }
        case .hex: return try MaterialEncoding.decode(text, unit: 2, bytes: 1, MaterialEncoding.hexadecimal)
        case .base64: return try MaterialEncoding.decode(text, unit: 4, bytes: 3, MaterialEncoding.base64Group)
        }
    }

    /// Decodes text in units of so many characters, each of which gives at most so many bytes.
    private static func decode(
        _ text: borrowing SecretBytes, unit: Int, bytes: Int,
        _ group: (UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer, _ isLast: Bool) -> Int?
    ) throws(CommandFailure) -> SecretBytes? {
        var output = try lockedMemory(maximumText)
        let count = text.withUnsafeBytes { text -> Int? in
            var text = text
            if text.last == newline { text = UnsafeRawBufferPointer(rebasing: text.dropLast()) }
            guard text.count % unit == 0, text.count / unit * bytes <= maximumText else { return nil }
            return output.withUnsafeMutableBytes { output in
                var count = 0
                for start in stride(from: 0, to: text.count, by: unit) {
                    let characters = UnsafeRawBufferPointer(rebasing: text[start..<start + unit])
                    let place = UnsafeMutableRawBufferPointer(rebasing: output[count...])
                    guard let written = group(characters, place, start + unit == text.count) else { return nil }
                    count += written
                }
                return count
            }
        }
        guard let count else { return nil }
        return try locked { () throws(SecureMemoryError) in try output.prefix(count) }
    }

    private static func hexadecimal(
        _ characters: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, _ isLast: Bool
    ) -> Int? {
        guard let high = digit(characters[0]), let low = digit(characters[1]) else { return nil }
        output[0] = high << 4 | low
        return 1
    }

    private static func digit(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
        case _: nil
        }
    }

    private static func base64Group(
        _ characters: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, _ isLast: Bool
    ) -> Int? {
        let padding = characters.reversed().prefix { $0 == UInt8(ascii: "=") }.count
        guard padding <= (isLast ? 2 : 0) else { return nil }
        var group: UInt32 = 0
        for character in characters.dropLast(padding) {
            guard let value = sextet(character) else { return nil }
            group = group << 6 | UInt32(value)
        }
        group <<= UInt32(6 * padding)
        let count = 3 - padding
        // Bits that no byte takes are zero, so that one key has one text.
        guard group & ((1 << UInt32(8 * padding)) - 1) == 0 else { return nil }
        for index in 0..<count { output[index] = UInt8(truncatingIfNeeded: group >> UInt32(16 - 8 * index)) }
        return count
    }

    private static func sextet(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        case _: nil
        }
    }

    private static func locked(
        _ body: () throws(SecureMemoryError) -> SecretBytes
    ) throws(CommandFailure) -> SecretBytes {
        do throws(SecureMemoryError) { return try body() } catch { throw CommandFailure(.secureMemory(error), key: nil) }
    }
}

extension Input {
    /// The material of a root key, in locked memory.
    borrowing func readMaterial(_ encoding: MaterialEncoding) throws(CommandFailure) -> SecretBytes {
        let expected = "a root key has 16, 24 or 32 bytes"
        guard let text = try readSecret(limit: MaterialEncoding.maximumText + 1) else {
            throw .failed("\(name) holds more than a key does: \(expected)", "check that it is the right file")
        }
        guard let material = try encoding.decode(text) else {
            throw .failed("\(name) does not hold a key in \(encoding.rawValue)", "say what it holds with --encoding")
        }
        guard ImportProof.keyBits.contains(UInt32(material.count * 8)) else {
            throw .failed(
                "\(name) holds \(material.count) bytes in \(encoding.rawValue); \(expected)",
                "for a key as text add --encoding hex or --encoding base64")
        }
        return material
    }
}
