import ClavigerWire

// The record of a request that used one key once and succeeded: nearly all that a log holds. It is written as it is, with no `AuditRecord`
// made for it, since making one takes longer than writing one.
extension RequestRecord {
    /// Whether it is such a request, if it succeeded.
    var isPlain: Bool {
        guard uses.count == 1, fields.isEmpty, total == nil, !isLate else { return false }
        let (use, count) = uses[0]
        return count == 1 && use.code == nil && (use.key != nil || use.version != nil)
    }

    /// The body of the record of a request that succeeded, where it is a plain one: the very bytes of the whole record's.
    ///
    /// - Returns: nil for another, and where `phrases` does not know yet who asked for such a thing: the whole record makes that known.
    func plainBody(_ time: UInt64, _ trace: RequestTrace, _ instance: InstanceID, _ phrases: inout AuditPhrases) -> [UInt8]? {
        guard isPlain else { return nil }
        let use = uses[0].use
        let entry = allowed.firstIndex { $0.id == use.key }
        let target = AuditRecord.Target(key: use.key, version: use.version, ring: entry.map { allowed[$0].ring })
        var text = JSONText(reusing: phrases.takeBuffer())
        phrases.write(time: time, to: &text)
        guard let isDataEvent = phrases.write(request.opcode.entry.name, trace.initiator, to: &text) else { return nil }
        phrases.write(target, instance, trace.correlation, to: &text)
        text.flag("dataEvent", isDataEvent)
        AuditRecord.write(request: trace.request, [], contexts, to: &text)
        if let fresh = use.fresh {
            text.open("responseData")
            text.text(AuditRecord.rewrapped, "", fresh)
            text.close()
        }
        phrases.keep(text.bytes)
        return text.bytes
    }
}
