import ClavigerCore
import ClavigerWire
import Cryptoki
import SecureMemory

// Clulow's attacks and their kin, with the user PIN, on a key made as an instance makes them.
extension Doctor {
    mutating func attacks() -> [TrialRow] {
        let suite = report.suites.first ?? .aesGCM
        let handle: ObjectHandle
        do throws(CryptokiError) {
            handle = try make(Doctor.name(.cipher), suite, report.quirks).0
        } catch {
            return [TrialRow("a key to attack", .notTried, error.description)]
        }
        return [
            reading(handle), loosening(handle), addingUses(handle), copying(handle), copyingForMore(handle), wrapping(handle),
            misusing(handle, suite), unwrappingReadable(),
        ]
    }

    private mutating func reading(_ key: ObjectHandle) -> TrialRow {
        let name = "reading the key"
        return row(name) { (session) throws(CryptokiError) in
            (try? session.bytes(.value, of: key)) == nil
                ? TrialRow(name, .works, "prevented") : TrialRow(name, .dangerous, "CKA_VALUE can be read")
        }
    }

    private mutating func loosening(_ key: ObjectHandle) -> TrialRow {
        let name = "making the key readable or extractable"
        return row(name) { (session) throws(CryptokiError) in
            guard let changed = try Thief.loosens(key, session: &session) else { return TrialRow(name, .works, "prevented") }
            return TrialRow(name, .dangerous, "\(changed) can be changed", isAboutThieves: true)
        }
    }

    private mutating func addingUses(_ key: ObjectHandle) -> TrialRow {
        let name = "adding a use to the key"
        return row(name) { (session) throws(CryptokiError) in
            let uses = [AttributeType.wrap, .unwrap, .encrypt, .decrypt, .sign, .derive]
            let before = try session.bools(uses, of: key)
            for (type, reading) in zip(uses, before) where reading == .value(false) {
                guard (try? session.tryChanging(key, [.bool(type, true)])) != nil else { continue }
                return TrialRow(name, .limited, "\(type) can be added: whoever has the PIN can give a key another use")
            }
            return TrialRow(name, .works, "prevented")
        }
    }

    private mutating func copying(_ key: ObjectHandle) -> TrialRow {
        let name = "copying the key with weaker attributes"
        return row(name) { (session) throws(CryptokiError) in
            if let widened = try Thief.copies(key, session: &session) {
                return TrialRow(name, .dangerous, "C_CopyObject gives a copy with \(widened) widened", isAboutThieves: true)
            }
            let isCopied = (try? session.tryCopying(key, [.bool(.token, false)])) != nil
            return isCopied ? TrialRow(name, .limited, "plain copies can be made") : TrialRow(name, .works, "prevented")
        }
    }

    private mutating func copyingForMore(_ key: ObjectHandle) -> TrialRow {
        let name = "copying the key with a use added"
        return row(name) { (session) throws(CryptokiError) in
            guard let added = try Thief.copiesForMore(key, session: &session) else { return TrialRow(name, .works, "prevented") }
            return TrialRow(name, .limited, "a copy has \(added): whoever has the PIN can give a key another use")
        }
    }

    private mutating func wrapping(_ key: ObjectHandle) -> TrialRow {
        let name = "wrapping the key out"
        let listed = Set(mechanisms)
        return row(name) { (session) throws(CryptokiError) in
            switch try Thief.wraps(key, listed: listed, session: &session) {
            case .closed: TrialRow(name, .works, "prevented")
            case .notTried(let why): TrialRow(name, .notTried, why)
            case .open(let way): TrialRow(name, .dangerous, "\(way) though it is not extractable", isAboutThieves: true)
            }
        }
    }

    private mutating func misusing(_ key: ObjectHandle, _ suite: Suite) -> TrialRow {
        let name = "using the key with another mechanism"
        let listed = mechanisms
        let isFenced = !report.quirks.openAttributes.contains(.allowedMechanisms)
        return row(name) { (session) throws(CryptokiError) in
            for type in [MechanismType.aesECB, .aesCBC] where listed.contains(type) && !suite.mechanisms.contains(type) {
                guard Thief.misuses(key, by: type, session: &session) else { continue }
                let detail = "\(type) works with a key of \(suite.name): whoever has the PIN can use it as an oracle"
                return TrialRow(name, isFenced ? .dangerous : .limited, detail, isAboutThieves: true)
            }
            return TrialRow(name, .works, "prevented")
        }
    }
}
