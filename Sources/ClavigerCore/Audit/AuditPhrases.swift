import ClavigerWire

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
            // Texts that only mean the same are others here.
            event == self.event && initiator == other && AuditPhrases.isSame(initiator.name, other.name)
                && AuditPhrases.isSame(initiator.caller.unit, other.caller.unit)
        }
    }

    private struct Target {
        let target: AuditRecord.Target
        let bytes: [UInt8]
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
    private var targets = Known<Target>()
    private var observer: (instance: InstanceID, bytes: [UInt8])?
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

    /// The field that says what it was done to.
    mutating func target(_ target: AuditRecord.Target) -> [UInt8] {
        for index in targets.phrases.indices {
            let known = targets.phrases[index].target
            if known.key == target.key, known.version == target.version, AuditPhrases.isSame(known.ring, target.ring) {
                return targets.phrases[index].bytes
            }
        }
        var text = JSONText()
        target.write(to: &text)
        targets.remember(Target(target: target, bytes: text.bytes))
        return text.bytes
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

    private static func isSame(_ left: String?, _ right: String?) -> Bool {
        switch (left, right) {
        case (let left?, let right?): left.utf8.elementsEqual(right.utf8)
        case (nil, nil): true
        case (nil, _?), (_?, nil): false
        }
    }
}
