import ClavigerWire

/// The record of a request that used one key once and succeeded: nearly all that a log holds.
///
/// Its bytes are those of the `AuditRecord` that says the same, which is not made for it: making one takes longer than writing one.
struct PlainRecord {
    let time: UInt64
    let event: String
    let target: AuditRecord.Target
    /// The version of the envelope that was made anew, where one was.
    let fresh: UInt32?
    let contexts: AuditContexts

    /// The fields from `"eventTime"` on, as `AuditRecord.body` gives them.
    ///
    /// - Returns: nil where `phrases` does not know who asked for such a thing yet: an `AuditRecord` makes it known.
    func body(_ trace: RequestTrace, _ instance: InstanceID, _ phrases: inout AuditPhrases) -> [UInt8]? {
        var text = JSONText(reusing: phrases.takeBuffer())
        text.time("eventTime", time)
        guard let isDataEvent = phrases.write(event, trace.initiator, to: &text) else { return nil }
        text.fields(phrases.target(target))
        text.fields(phrases.observer(instance))
        text.text("correlationId", trace.correlation)
        text.flag("dataEvent", isDataEvent)
        AuditRecord.write(request: trace.request, [], contexts, to: &text)
        if let fresh {
            text.open("responseData")
            text.text(AuditRecord.rewrapped, "", fresh)
            text.close()
        }
        phrases.keep(text.bytes)
        return text.bytes
    }
}
