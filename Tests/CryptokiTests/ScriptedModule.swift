import CCryptoki
import Synchronization

@testable import Cryptoki

/// A function list whose entries misbehave on purpose, for what a sane module never shows. Entries left empty are NULL.
///
/// C functions capture nothing, so what a test needs to know of a call is kept here, by session handle.
final class ScriptedModule: Sendable {
    /// How often C_SignInit and C_Sign have been called in a session, and whether an operation is active there.
    struct Calls {
        var begun = 0
        var operated = 0
        var active = false
    }

    static let calls = Mutex<[UInt: Calls]>([:])
    let functions: FunctionList

    init(_ fill: (inout CK_FUNCTION_LIST) -> Void) {
        // Never freed, like a module that is never unloaded.
        let list = UnsafeMutablePointer<CK_FUNCTION_LIST>.allocate(capacity: 1)
        list.initialize(to: CK_FUNCTION_LIST())
        fill(&list.pointee)
        functions = FunctionList(OpaquePointer(list))
    }

    /// A session that the scripted functions see under this handle.
    func session(_ handle: UInt) -> Session { Session(functions: functions, handle: handle) }

    /// The module as a `Module`.
    var module: Module { Module(path: "/scripted", functions: functions) }

    static func count(_ session: UInt, _ change: (inout Calls) -> Void) {
        calls.withLock { change(&$0[session, default: Calls()]) }
    }
}
