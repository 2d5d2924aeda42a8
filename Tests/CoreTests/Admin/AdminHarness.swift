import ClavigerWire
import Glibc
import Testing

@testable import ClavigerCore

/// Requests of administration, each under an operation id of its own.
extension TestInstance {
    /// The reply to a request.
    func reply<Reply: WireMessage>(
        _ opcode: Opcode, _ message: some WireMessage, as caller: Caller? = nil, _ type: Reply.Type = Reply.self
    ) throws -> Reply {
        try ask(opcode, message, as: caller) { try Reply.decode($0) }
    }

    /// The refusal that a request ends with; nil, with a note to the test, when it ends otherwise.
    func refusal(
        _ opcode: Opcode, _ message: some WireMessage, as caller: Caller? = nil, _ location: SourceLocation = #_sourceLocation
    ) -> RefusalCode? {
        do {
            try ask(opcode, message, as: caller) { _ in }
            Issue.record("\(opcode) was done", sourceLocation: location)
        } catch let refusal as Refusal {
            return refusal.code
        } catch {
            Issue.record("\(error)", sourceLocation: location)
        }
        return nil
    }

    @discardableResult
    func makeKey(_ name: String, _ set: (inout KeyCreateRequest) -> Void = { _ in }) throws -> KeyRecord {
        var message = KeyCreateRequest(name: name, operation: TestInstance.operation())
        set(&message)
        return try reply(.keyCreate, message)
    }

    @discardableResult
    func setSetting(_ setting: InstanceSetting, _ value: UInt64) throws -> SettingRecord {
        try reply(.settingsSet, SettingSetRequest(name: setting.name, operation: TestInstance.operation(), value: value))
    }

    @discardableResult
    func setPolicies(_ key: KeyID? = nil, as caller: Caller? = nil, _ set: (inout PolicyValues) -> Void) throws -> PolicyReply {
        var values = PolicyValues()
        set(&values)
        return try reply(
            .policySet, PolicySetRequest(key: key.map { .id($0) }, operation: TestInstance.operation(), values: values),
            as: caller)
    }

    /// Another person who may do everything: the daemon's own user, where that is not the one that asks otherwise.
    static let other = Caller(pid: 2, uid: ownUser, gid: 0, groups: [], unit: nil, pidfdVerified: true)

    /// Has the process run under a user of its own, so that it and user 0 are two persons who may both do everything. For child
    /// processes, before the instance is made.
    static func runAsAnother() throws {
        guard geteuid() == 0 else { return }
        try #require(seteuid(ownUser) == 0)
    }

    private static let ownUser: UInt32 = geteuid() == 0 ? 4_711 : geteuid()
}

/// Runs the body of an exit test and tells the test what it throws: a child process that ends with an error says nothing else.
func told(_ body: () throws -> Void) rethrows {
    do { try body() } catch {
        Issue.record("\(error)")
        throw error
    }
}
