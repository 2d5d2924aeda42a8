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
