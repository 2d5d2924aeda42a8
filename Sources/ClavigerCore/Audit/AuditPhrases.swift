import ClavigerWire

/// What a caller's successful requests of one kind have in common in their records, as it is written: made once and not for each of them.
///
/// The bytes are those that `AuditRecord` writes without it, since it makes them. One thread's own.
struct AuditPhrases {
    /// From the event's name to the end of the initiator.
    private struct Beginning {
        let event: String
        let initiator: AuditRecord.Initiator
        let isDataEvent: Bool
        let bytes: [UInt8]

        func isOf(_ other: AuditRecord.Initiator) -> Bool {
            // Texts that only mean the same are others here.
            initiator == other && Beginning.isSame(initiator.name, other.name)
                && Beginning.isSame(initiator.caller.unit, other.caller.unit)
        }

        private static func isSame(_ left: String?, _ right: String?) -> Bool {
            (left ?? "").utf8.elementsEqual((right ?? "").utf8)
        }
    }

    /// So many callers and events are known at a time: a worker serves few of them in turn, and looks through all.
    static let most = 16

    private var known: [Beginning] = []
    private var oldest = 0
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

    /// Writes the beginning for an event and who caused it, where it is known.
    ///
    /// - Returns: whether the event is about data; nil when nothing was written.
    func write(_ event: String, _ initiator: AuditRecord.Initiator, to text: inout JSONText) -> Bool? {
        for index in known.indices where known[index].event == event && known[index].isOf(initiator) {
            text.fields(known[index].bytes)
            return known[index].isDataEvent
        }
        return nil
    }

    /// Takes a beginning as it was written.
    mutating func remember(_ event: String, _ initiator: AuditRecord.Initiator, _ bytes: [UInt8], isDataEvent: Bool) {
        let new = Beginning(event: event, initiator: initiator, isDataEvent: isDataEvent, bytes: bytes)
        if known.count < AuditPhrases.most {
            known.append(new)
        } else {
            known[oldest] = new
            oldest = (oldest + 1) % AuditPhrases.most
        }
    }
}
