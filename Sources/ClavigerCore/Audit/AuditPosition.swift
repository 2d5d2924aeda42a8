import ClavigerWire
import SecureMemory

/// A place in an audit log: the sequence number of a record and the hash of its line, which covers all before it.
package struct AuditPosition: Sendable, Equatable {
    /// The record's number; 0 before the first.
    package let sequence: UInt64
    /// SHA-256 of the record's line without its line break; of the chain's beginning before the first.
    package let hash: AuditHash

    package init(sequence: UInt64, hash: AuditHash) {
        self.sequence = sequence
        self.hash = hash
    }

    /// Where an instance's log begins: SHA-256 of `claviger/audit/1`, a zero byte and the instance's id, so that no record fits
    /// another instance's log.
    package static func beginning(of instance: InstanceID) -> AuditPosition {
        AuditPosition(sequence: 0, hash: AuditHash(of: Array("claviger/audit/1".utf8) + [0] + instance.bytes))
    }
}

/// A record's line and the parts that chain it: `{"seq":N,"prev":"HEX","eventTime":...}`.
///
/// The canonical bytes of a record are its line's, so that checking a chain takes hashing and no parsing of what a record says.
enum AuditLine {
    /// The greatest line in bytes: a batch's 256 items with a context each fit twice; a longer one in a log is damage.
    static let maximum = 256 << 10

    /// The greatest number of a record: far from where a greater one would not fit any more. A greater one in a log is damage.
    static let greatest = UInt64(1) << 62

    private static let opening = Array("{\"seq\":".utf8)
    private static let previous = Array(",\"prev\":\"".utf8)
    private static let separator = Array("\",".utf8)
    private static let rest = Array("\",\"eventTime\":\"".utf8)
    private static let identifier = Array("\",\"id\":\"".utf8)
    private static let event = Array("\",\"event\":\"".utf8)
    private static let hashDigits = 64
    private static let idLength = 36

    /// Appends the line of a record, its line break included.
    ///
    /// - Parameters:
    ///   - body: the record's fields from `"eventTime"` on, without braces.
    ///   - last: the place of the record before.
    ///   - computer: computes hashes.
    /// - Returns: the new record's place.
    static func append(
        _ body: [UInt8], after last: AuditPosition, to bytes: inout [UInt8], by computer: inout SHA256.Computer
    ) -> AuditPosition {
        let start = bytes.count
        bytes += opening
        JSONText.append(last.sequence + 1, to: &bytes)
        bytes += previous
        JSONText.appendHash(last.hash, to: &bytes)
        bytes += separator
        bytes += body
        bytes.append(UInt8(ascii: "}"))
        let hash = bytes.withUnsafeBytes { AuditHash(of: UnsafeRawBufferPointer(rebasing: $0[start...]), by: &computer) }
        bytes.append(UInt8(ascii: "\n"))
        return AuditPosition(sequence: last.sequence + 1, hash: hash)
    }

    /// The same for a single one.
    static func append(_ body: [UInt8], after last: AuditPosition, to bytes: inout [UInt8]) -> AuditPosition {
        var computer = SHA256.Computer()
        return append(body, after: last, to: &bytes, by: &computer)
    }

    /// The chaining parts of a line.
    struct Parts {
        let sequence: UInt64
        let previous: AuditHash
        /// Where the record's body begins.
        fileprivate let body: Int
        /// What follows the time: where id and event are looked for.
        fileprivate var tail: Int { body + rest.count - separator.count + AuditTime.length }
    }

    /// The parts of a line without its line break; nil when it has not the form.
    static func parts(_ line: UnsafeRawBufferPointer) -> Parts? {
        var place = 0
        guard skip(opening, line, &place) else { return nil }
        var sequence: UInt64 = 0
        let first = place
        while place < line.count, place - first < 20, let digit = decimal(line[place]) {
            let (product, overflow) = sequence.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
            guard !overflow, !carry else { return nil }
            sequence = sum
            place += 1
        }
        guard place > first, line[first] != UInt8(ascii: "0"), sequence <= greatest, skip(previous, line, &place),
            place + hashDigits <= line.count
        else { return nil }
        let digits = UnsafeRawBufferPointer(rebasing: line[place..<(place + hashDigits)])
        place += hashDigits
        let body = place + separator.count
        guard let hash = AuditHash(hex: digits), skip(rest, line, &place), line[line.count - 1] == UInt8(ascii: "}") else {
            return nil
        }
        return Parts(sequence: sequence, previous: hash, body: body)
    }

    /// The record's fields from `"eventTime"` on, as they were appended.
    static func body(_ parts: Parts, _ line: UnsafeRawBufferPointer) -> Slice<UnsafeRawBufferPointer> {
        line[parts.body..<(line.count - 1)]
    }

    /// The id of a record that went through the outbox; nil for others.
    static func id(_ parts: Parts, _ line: UnsafeRawBufferPointer) -> String? {
        var place = parts.tail
        guard skip(identifier, line, &place), place + idLength <= line.count else { return nil }
        return String(decoding: line[place..<(place + idLength)], as: UTF8.self)
    }

    /// Whether the record is of this event.
    static func isEvent(_ name: StaticString, _ parts: Parts, _ line: UnsafeRawBufferPointer) -> Bool {
        var place = parts.tail
        if skip(identifier, line, &place) { place += idLength }
        guard skip(event, line, &place) else { return false }
        return name.withUTF8Buffer { name in
            place + name.count < line.count && line[place + name.count] == UInt8(ascii: "\"")
                && zip(name, line[place...]).allSatisfy { $0 == $1 }
        }
    }

    private static func skip(_ text: [UInt8], _ line: UnsafeRawBufferPointer, _ place: inout Int) -> Bool {
        guard place + text.count <= line.count else { return false }
        for index in text.indices where line[place + index] != text[index] { return false }
        place += text.count
        return true
    }

    private static func decimal(_ byte: UInt8) -> UInt8? {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) ? byte - UInt8(ascii: "0") : nil
    }

    // 255 for what is no digit of lower-case hexadecimal.
    static func hexadecimal(_ byte: UInt8) -> UInt8 {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case _: 255
        }
    }

    /// The bytes of a text of hexadecimal digits; nil when it is none, or not of `count` bytes.
    static func bytes(hex text: String, count: Int) -> [UInt8]? {
        let digits = text.utf8.map(hexadecimal)
        guard digits.count == 2 * count, digits.allSatisfy({ $0 < 16 }) else { return nil }
        return (0..<count).map { digits[2 * $0] << 4 | digits[2 * $0 + 1] }
    }
}
