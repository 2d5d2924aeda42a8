import ClavigerWire
import Cryptoki
import Logging
import SecureMemory
import Synchronization

// Which object is which key: told by known answers, or by attributes where there is no answer to be known.
extension TokenService {
    /// What came of looking for an object by what it is.
    enum Search<Found: Sendable>: Sendable {
        case found(Found)
        /// There is none; the error of one that gave no answer, if so, and why not in words where there is more to say.
        case none(failure: CryptokiError?, more: String? = nil)

        var found: Found? {
            switch self {
            case .found(let found): found
            case .none: nil
            }
        }
    }

    /// The canary and its companions must be there and the canary must answer, else this is not our token.
    func proveInstance(
        _ objects: inout TokenObjects, _ quarantine: inout [QuarantineRecord], _ session: inout Session,
        _ scratch: inout CipherScratch
    ) throws(TokenFailure) {
        for record in try stored({ () throws(StoreError) in try store.instanceKeys() }) {
            let name = ObjectName(instance: instance.id, version: record.version, role: record.role)
            if record.role == .mac || record.knownAnswer == .absent {
                var search = try theOneAsOrdered(name, record.suite, objects.take(name), &quarantine, &session)
                if record.role == .mac { try prove(&search, record.knownAnswer, &session) }
                let handle = try require(search, record.role, objects)
                if record.role == .mac { live.withLock { $0?.mac = handle } }
                if record.role == .audit { try takeSigningKey(name, handle, &session) }
            } else {
                let search = try prove(name, record.suite, record.knownAnswer, &objects, &quarantine, &session, &scratch)
                let handles = try require(search, record.role, objects)
                if record.role == .vault { takeVault(record, name, handles) }
                if record.role == .canary {
                    live.withLock { $0?.canary = Canary(name: name, handles: handles, answer: record.knownAnswer) }
                }
            }
        }
        unproven.store(0, ordering: .relaxed)
    }

    /// A key of the instance itself, or why there is none.
    private func require<Found>(
        _ search: Search<Found>, _ role: KeyRole, _ objects: TokenObjects
    ) throws(TokenFailure) -> Found {
        switch search {
        case .found(let found): return found
        case .none(let failure, let more):
            guard objects.unreadable == 0 else { throw .lost("the instance's keys cannot be read") }
            if let failure, unproven.add(1, ordering: .relaxed).newValue < TokenService.unprovenBound {
                // A token that went away in between may say just this.
                throw .lost("the instance's key '\(role.name)' does not answer: \(failure)")
            }
            let what = more ?? failure.map { "does not answer (\($0))" } ?? "is missing, or another one"
            throw .notOurs(
                "the instance's key '\(role.name)' \(what): is this a copy or an older state of the token?"
                    + (damage().map { " Files are \($0)." } ?? ""))
        }
    }

    /// So many attempts in a row that end in an error of the instance's keys count as a token that went away: a minute's at least.
    static let unprovenBound = 20

    /// The object of a key without a known answer when exactly one is as it was ordered; what a creation that was killed left beside
    /// it is quarantined. Nothing tells two of them apart, so two are none.
    func theOneAsOrdered(
        _ name: ObjectName, _ suite: Suite, _ found: [TokenObjects.Found], _ quarantine: inout [QuarantineRecord],
        _ session: inout Session
    ) throws(TokenFailure) -> Search<ObjectHandle> {
        var ordered: [TokenObjects.Found] = []
        var failure: CryptokiError?
        for object in found {
            let difference: String?
            do throws(CryptokiError) {
                difference = try factory.template(name, suite).difference(of: object.handle, session: &session)
            } catch {
                if error.meansLost { throw .lost(error.description) }
                failure = error
                difference = error.description
            }
            if let difference {
                quarantine.append(
                    QuarantineRecord(objectID: object.objectID, label: object.label, reason: "not as ordered: \(difference)"))
            } else {
                ordered.append(object)
            }
        }
        switch ordered.count {
        case 0: return .none(failure: failure)
        case 1: return .found(ordered[0].handle)
        case let count:
            for object in ordered {
                log.error("a key that may be there once is there several times", metadata: ["label": "\(object.label)"])
            }
            return .none(
                failure: nil,
                more: "is there \(count) times, as label \(ordered[0].label): remove what was put there beside the first")
        }
    }

    /// Leaves nothing found when an HMAC key is not the one of the known answer. Instances from before it was kept have none.
    private func prove(
        _ search: inout Search<ObjectHandle>, _ answer: KnownAnswer, _ session: inout Session
    ) throws(TokenFailure) {
        guard answer != .absent, let handle = search.found else { return }
        do throws(CryptokiError) {
            guard try KnownAnswerProof.make(hmac: handle, session: &session) != answer else { return }
            search = .none(failure: nil, more: "is another one under its name, or damaged: its known answer fails")
        } catch {
            if error.meansLost { throw .lost(error.description) }
            search = .none(failure: error)
        }
    }

    /// Keys that do not answer on a token that does not answer either say nothing of the keys: it went away in between.
    func requireCanary(_ session: inout Session, _ scratch: inout CipherScratch) throws(TokenFailure) {
        guard let canary = live.withLock({ $0?.canary }) else { return }
        let holds = try? KnownAnswerProof.holds(
            canary.answer, for: canary.name, canary.handles, session: &session, scratch: &scratch)
        guard holds == true else { throw .lost("the token went away while its keys were looked for") }
    }

    /// The objects that prove to be the keys of the known answer; others of their names are quarantined.
    func prove(
        _ name: ObjectName, _ suite: Suite, _ answer: KnownAnswer, _ objects: inout TokenObjects,
        _ quarantine: inout [QuarantineRecord], _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(TokenFailure) -> Search<SuiteHandles> {
        let found = suite.names(name).map { objects.take($0) }
        var proven: SuiteHandles?
        var failure: CryptokiError?
        for candidate in TokenService.combinations(suite, found) {
            guard try answers(candidate, name, answer, &failure, &session, &scratch) else { continue }
            proven = candidate
            break
        }
        for (place, objects) in found.enumerated() {
            for object in objects where !(proven?.all.contains(object.handle) ?? false) {
                var choice = proven?.all ?? []
                if place < choice.count { choice[place] = object.handle }
                let other = proven == nil ? nil : SuiteHandles(suite, choice)
                let isSame = try other.map { (other) throws(TokenFailure) in
                    try answers(other, name, answer, &failure, &session, &scratch)
                }
                let reason = isSame == true ? "another object is the same key" : "its known answer fails"
                quarantine.append(QuarantineRecord(objectID: object.objectID, label: object.label, reason: reason))
            }
        }
        return proven.map { .found($0) } ?? .none(failure: failure)
    }

    /// Whether these objects are the keys of a known answer. One that gives an error is taken for none, and the error is noted: it
    /// may be the token's and not the object's.
    private func answers(
        _ handles: SuiteHandles, _ name: ObjectName, _ answer: KnownAnswer, _ failure: inout CryptokiError?,
        _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(TokenFailure) -> Bool {
        do throws(OpenFailure) {
            return try KnownAnswerProof.holds(answer, for: name, handles, session: &session, scratch: &scratch)
        } catch {
            guard case .token(let cause) = error else { return false }
            if cause.meansLost, cause.returnValue != .keyHandleInvalid, cause.returnValue != .objectHandleInvalid {
                throw .lost(cause.description)
            }
            if !cause.meansBadCiphertext { failure = cause }
            return false
        }
    }

    /// So many pairs of objects are tried at most: more of a name than a few are nobody's accident.
    private static let maximumCombinations = 64

    /// Every choice of one object for each name of a key version.
    private static func combinations(_ suite: Suite, _ found: [[TokenObjects.Found]]) -> [SuiteHandles] {
        var choices: [[ObjectHandle]] = [[]]
        for objects in found {
            choices = choices.flatMap { choice in objects.map { choice + [$0.handle] } }
            choices = Array(choices.prefix(maximumCombinations))
        }
        return choices.compactMap { SuiteHandles(suite, $0) }
    }
}
