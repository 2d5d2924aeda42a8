import ClavigerWire

/// What a daemon under test, whatever it runs in, does for a run of the model.
public protocol LifecycleTarget: AnyObject {
    /// Sends a request for a person and returns what came back.
    func ask(_ opcode: Opcode, _ message: some WireMessage, source: [UInt8], as person: ModelPerson) throws -> LifecycleAnswer
    /// Ends the daemon, as an operator or as a crash would, and starts it again.
    func restart(isCrash: Bool) throws
    /// Has it do what is due by itself; nil where it does so at a time of its own.
    var sweep: (() throws -> Void)? { get }
    /// Its clock.
    var now: UInt64 { get }
    /// How often it was restarted in the midst of a request; what lives in its memory only is gone then.
    var interruptions: Int { get }
    /// Moves its clock; nil where it cannot be moved.
    var advance: ((UInt64) -> Void)? { get }
}

/// What came back for a request.
public enum LifecycleAnswer: Equatable, Sendable {
    case reply([UInt8])
    case refused(RefusalCode)
}

/// An answer that was not the model's.
public struct LifecycleDifference: Error, CustomStringConvertible {
    public let description: String
}

/// Does random requests of the key lifecycle to a daemon and to the model, and compares every answer. The same seed does the same.
public final class LifecycleRun<Target: LifecycleTarget, Random: RandomNumberGenerator> {
    public internal(set) var model = LifecycleModel()
    let target: Target
    let persons: [ModelPerson]
    var random: Random
    /// Envelopes made so far, with what is in them.
    var envelopes: [(bytes: [UInt8], key: KeyID, version: UInt32, plaintext: [UInt8])] = []
    /// What changes of policies the requests for a second person carry.
    var policyChanges: [ApprovalID: PolicySetRequest] = [:]
    /// What import tokens have given, with the nonces.
    var taken: [ImportTokenTakeReply] = []
    /// Import tokens made so far: their keys take long to make.
    var importTokensMade = 0
    private var interruptions = 0
    /// How to send the last change again, and its first answer.
    private var last: (send: () throws -> LifecycleAnswer, answer: LifecycleAnswer, at: UInt64)?
    /// How often each thing was done and refused, for the test to see that a run was worth something.
    public private(set) var done: [String: Int] = [:]
    public private(set) var refused: [String: Int] = [:]
    private var trace: [String] = []

    /// Keys that are not purged; beyond them fewer are made.
    let keyLimit: Int

    public init(_ target: Target, persons: [ModelPerson], random: Random, keyLimit: Int = 25) {
        self.target = target
        self.persons = persons
        self.random = random
        self.keyLimit = keyLimit
    }

    /// Whether the clock is the test's, so that every moment can be foretold.
    var isExact: Bool { target.advance != nil }

    var now: UInt64 { target.now }

    /// Sends a change and compares what comes back with what the model says.
    ///
    /// - Parameter expected: the model's answer, given what the daemon has answered, of which only ids may be taken.
    @discardableResult
    func change<Message: WireMessage, Reply: WireMessage>(
        _ opcode: Opcode, _ message: Message, source: [UInt8] = [], by person: ModelPerson, _ mask: (Reply) -> Reply,
        _ expected: (Reply?) throws(ModelRefusal) -> Reply
    ) throws -> Reply? {
        let send = { [target] in try target.ask(opcode, message, source: source, as: person) }
        let answer = try send()
        let reply = try compare(opcode, "\(message) by uid \(person.uid)", answer, mask, expected)
        if reply != nil { last = (send, answer, now) }
        return reply
    }

    /// Sends what changes nothing, and compares as `change` does.
    @discardableResult
    func look<Message: WireMessage, Reply: WireMessage>(
        _ opcode: Opcode, _ message: Message, by person: ModelPerson, _ mask: (Reply) -> Reply = { $0 },
        _ expected: (Reply?) throws(ModelRefusal) -> Reply
    ) throws -> Reply? {
        let answer = try target.ask(opcode, message, source: [], as: person)
        return try compare(opcode, "\(message)", answer, mask, expected)
    }

    private func compare<Reply: WireMessage>(
        _ opcode: Opcode, _ what: String, _ answer: LifecycleAnswer, _ mask: (Reply) -> Reply,
        _ expected: (Reply?) throws(ModelRefusal) -> Reply
    ) throws -> Reply? {
        if target.interruptions != interruptions {
            interruptions = target.interruptions
            model.forgetWhatWasShown()
        }
        var reply: Reply?
        if case .reply(let body) = answer { reply = try Reply.decode(body.span.bytes) }
        note("\(opcode) \(what)")
        switch foresee({ () throws(ModelRefusal) in try expected(reply) }) {
        case .success(let foreseen):
            let wanted = mask(foreseen)
            guard let reply else { throw difference(opcode, "\(answer)", "\(wanted)") }
            guard mask(reply) == wanted else { throw difference(opcode, "\(mask(reply))", "\(wanted)") }
            count(opcode.entry.name, nil)
        case .failure(let refusal):
            guard case .refused(refusal.code) = answer else {
                throw difference(opcode, reply.map { "\($0)" } ?? "\(answer)", refusal.code.name)
            }
            count(opcode.entry.name, refusal.code)
        }
        return reply
    }

    /// What the model says.
    func foresee<R>(_ body: () throws(ModelRefusal) -> R) -> Result<R, ModelRefusal> {
        do throws(ModelRefusal) { return .success(try body()) } catch { return .failure(error) }
    }

    /// Notes what was done, for the report of a difference.
    func note(_ text: String) {
        trace.append("\(now): \(text)")
        if trace.count > 12 { trace.removeFirst() }
    }

    func count(_ name: String, _ code: RefusalCode?) {
        if let code { refused["\(name) \(code.name)", default: 0] += 1 } else { done[name, default: 0] += 1 }
    }

    func difference(_ opcode: Opcode, _ got: String, _ wanted: String) -> any Error {
        LifecycleDifference(
            description: "\(opcode.entry.name) answered\n  \(got)\nthe model says\n  \(wanted)\nafter\n  "
                + trace.joined(separator: "\n  "))
    }

    /// Sends the last change once more: it must be answered as the first time, whatever has happened since.
    func repeatLast() throws {
        guard let last, now < last.at + 86_400_000 else { return }
        note("the last change again")
        let answer = try last.send()
        guard answer == last.answer else { throw difference(.ping, "\(answer)", "\(last.answer)") }
        count("retry", nil)
    }

    func forgetLast() { last = nil }

    // MARK: chance

    func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    func pick<Element>(_ elements: [Element]) -> Element? { elements.randomElement(using: &random) }

    func number(_ range: ClosedRange<Int>) -> Int { .random(in: range, using: &random) }

    var operation: OperationID {
        OperationID(random: (.random(in: .min ... .max, using: &random), .random(in: .min ... .max, using: &random)))
    }

    var person: ModelPerson { pick(persons) ?? ModelPerson(uid: 0) }

    var anyID: KeyID { KeyID(random: (.random(in: .min ... .max, using: &random), .random(in: .min ... .max, using: &random))) }

    /// The keys in an order that does not depend on the process.
    var sortedKeys: [ModelKey] { model.keys.values.sorted { ($0.created, $0.name, $0.id) < ($1.created, $1.name, $1.id) } }

    /// A key that a request names: most often one that is there.
    ///
    /// - Parameter fits: what the request is meant for; most keys named are such, so that much is done and not only refused.
    func reference(_ fits: (ModelKey) -> Bool = { _ in true }) -> KeyReference {
        switch number(0...99) {
        case 0...2: return .id(anyID)
        case 3...4: return .name("nobody")
        case 5...12: return .name(pick(sortedKeys.map(\.name)) ?? "nobody")
        case 13...20: return .name(pick(sortedKeys.flatMap(\.aliases)) ?? "nobody")
        case 21...70: return .id(pick(sortedKeys.filter(fits))?.id ?? anyID)
        case _: return .id(pick(sortedKeys)?.id ?? anyID)
        }
    }
}
