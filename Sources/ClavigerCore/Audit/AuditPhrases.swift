import ClavigerWire
import Glibc

/// What records have in common, as it is written: made once and not for each of them.
///
/// The bytes are those that `AuditRecord` writes without it, since it makes them. One thread's own.
struct AuditPhrases {
    /// From the event's name to the end of the initiator, of what succeeded.
    struct Beginning {
        let event: String
        let initiator: AuditRecord.Initiator
        let isDataEvent: Bool
        let bytes: [UInt8]

        fileprivate func isOf(_ event: String, _ other: AuditRecord.Initiator) -> Bool {
            event == self.event && initiator == other && AuditPhrases.isSame(initiator.name, other.name)
                && AuditPhrases.isSame(initiator.caller.unit, other.caller.unit)
        }
    }

    /// From the target to where the correlation's number begins.
    private struct Middle {
        let target: AuditRecord.Target
        let instance: InstanceID
        let run: String
        let bytes: [UInt8]

        func isOf(_ other: AuditRecord.Target, _ instance: InstanceID, _ run: String) -> Bool {
            target.key == other.key && target.version == other.version && self.instance == instance
                && AuditPhrases.isSame(target.ring, other.ring) && AuditPhrases.isSame(self.run, run)
        }
    }

    /// Phrases of one kind: so many are known at a time, since a worker serves few callers and keys in turn, and looks through all.
    private struct Known<Phrase> {
        static var most: Int { 16 }
        private(set) var phrases: [Phrase] = []
        private var oldest = 0

        mutating func remember(_ phrase: Phrase) {
            if phrases.count < Known.most {
                phrases.append(phrase)
            } else {
                phrases[oldest] = phrase
                oldest = (oldest + 1) % Known.most
            }
        }
    }

    private var beginnings = Known<Beginning>()
    private var middles = Known<Middle>()
    private var observer: (instance: InstanceID, bytes: [UInt8])?
    // The time of the newest record, as its field.
    private var newest: (second: UInt64, bytes: [UInt8]) = (.max, [])
    // The storage of the newest record.
    private var buffer: [UInt8] = []

    /// Storage to write a record in: mostly that of the one before, which is kept (`keep`) and needed no more.
    mutating func takeBuffer() -> [UInt8] {
        defer { buffer = [] }
        return buffer
    }

    /// Takes a record's bytes, for their storage.
    mutating func keep(_ bytes: [UInt8]) { buffer = bytes }

    /// The field that says which daemon observed it.
    mutating func observer(_ instance: InstanceID) -> [UInt8] {
        if let observer, observer.instance == instance { return observer.bytes }
        var text = JSONText()
        text.open("observer")
        text.text("name", "claviger")
        text.identifier("id", instance)
        text.close()
        observer = (instance, text.bytes)
        return text.bytes
    }

    /// Writes when it was, in milliseconds since 1970.
    mutating func write(time: UInt64, to text: inout JSONText) {
        let time = min(time, AuditTime.latest)
        if newest.second == time / 1_000 {
            let place = newest.bytes.count - AuditPhrases.millisecondsFromEnd
            let digits = Int(time % 1_000)
            newest.bytes[place] = UInt8(ascii: "0") + UInt8(digits / 100)
            newest.bytes[place + 1] = UInt8(ascii: "0") + UInt8(digits / 10 % 10)
            newest.bytes[place + 2] = UInt8(ascii: "0") + UInt8(digits % 10)
        } else {
            var part = JSONText()
            part.time("eventTime", time)
            newest = (time / 1_000, part.bytes)
        }
        text.fields(newest.bytes)
    }

    // Three digits, a letter and a quotation mark end it.
    private static let millisecondsFromEnd = 5

    /// Writes what it was done to, by which daemon, and the correlation.
    mutating func write(
        _ target: AuditRecord.Target, _ instance: InstanceID, _ correlation: Correlation, to text: inout JSONText
    ) {
        for index in middles.phrases.indices where middles.phrases[index].isOf(target, instance, correlation.run) {
            text.fields(middles.phrases[index].bytes)
            return text.endText(correlation.number)
        }
        var part = JSONText()
        target.write(to: &part)
        part.fields(observer(instance))
        part.beginText("correlationId", correlation.run)
        middles.remember(Middle(target: target, instance: instance, run: correlation.run, bytes: part.bytes))
        text.fields(part.bytes)
        text.endText(correlation.number)
    }

    /// Writes the beginning for an event and who caused it, where it is known.
    ///
    /// - Returns: whether the event is about data; nil when nothing was written.
    func write(_ event: String, _ initiator: AuditRecord.Initiator, to text: inout JSONText) -> Bool? {
        for index in beginnings.phrases.indices where beginnings.phrases[index].isOf(event, initiator) {
            text.fields(beginnings.phrases[index].bytes)
            return beginnings.phrases[index].isDataEvent
        }
        return nil
    }

    /// Takes a beginning as it was written.
    mutating func remember(_ beginning: Beginning) { beginnings.remember(beginning) }

    // Whether the texts are the same byte for byte, which those that only mean the same are not.
    private static func isSame(_ left: String?, _ right: String?) -> Bool {
        switch (left, right) {
        case (let left?, let right?):
            let isSame = left.utf8.withContiguousStorageIfAvailable { left in
                right.utf8.withContiguousStorageIfAvailable { right in
                    guard let first = left.baseAddress, let second = right.baseAddress else { return left.count == right.count }
                    return left.count == right.count && memcmp(first, second, left.count) == 0
                }
            }
            return (isSame ?? nil) ?? left.utf8.elementsEqual(right.utf8)
        case (nil, nil): return true
        case (nil, _?), (_?, nil): return false
        }
    }
}
