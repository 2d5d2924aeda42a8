import ClavigerWire
import Glibc

/// What ties together the records of one request: which run of the daemon, and which request of it.
struct Correlation {
    let run: String
    let number: UInt64

    var text: String { "\(run)-\(number)" }
}

/// The request that a thread is doing, for what is recorded deep below it.
///
/// A change's note is made by the store, many calls below the choke point, and its record must say which request it belongs to. The trace
/// goes with the thread, since requests are done by one thread from end to end, so that not every function on the way carries it.
final class RequestTrace {
    let correlation: Correlation
    let request: UInt32
    let initiator: AuditRecord.Initiator
    /// How contexts are recorded.
    let contexts: AuditContexts.Form
    /// How many records of changes the request has left in the outbox.
    var changes = 0
    /// The request's recorded fields, as far as they are known by now: a change's record is made while it is carried out.
    var fields: [AuditRecord.Field] = []

    init(
        correlation: Correlation, request: UInt32, initiator: AuditRecord.Initiator, contexts: AuditContexts.Form = .hash
    ) {
        self.contexts = contexts
        self.correlation = correlation
        self.request = request
        self.initiator = initiator
    }

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let code = pthread_key_create(&key, nil)
        precondition(code == 0, "pthread_key_create failed")
        return key
    }()

    /// That of the calling thread.
    static var current: RequestTrace? {
        pthread_getspecific(key).map { Unmanaged<RequestTrace>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Runs `body` as part of this request. A batch may let another request in, so what was current before is again afterwards.
    func during<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        let before = pthread_getspecific(RequestTrace.key)
        pthread_setspecific(RequestTrace.key, Unmanaged.passUnretained(self).toOpaque())
        defer { pthread_setspecific(RequestTrace.key, before) }
        return try withExtendedLifetime(self, body)
    }
}

extension AuditRecord {
    /// The record of a change.
    init(_ note: ChangeNote, time: UInt64, trace: RequestTrace?) {
        self.init(event: note.event, time: time)
        requestData = note.asked ?? []
        responseData = note.results
        if let caller = note.caller {
            let isTraced = trace?.initiator.caller == caller
            if isTraced, note.asked == nil { requestData = trace?.fields ?? [] }
            initiator = isTraced ? trace?.initiator : Initiator(caller: caller, name: AccountLookup.name(.user, caller.uid))
        }
        target = Target(key: note.key, version: note.version, ring: note.ring)
        changes = note.changes
        if note.caller != nil {
            correlation = trace?.correlation.text
            request = trace?.request
        }
        action = AuditEvent.action(of: event, askedWith: requestData)
    }
}
