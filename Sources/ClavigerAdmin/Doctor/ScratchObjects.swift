import ClavigerCore
import ClavigerWire
import Cryptoki

/// Objects that the doctor makes on the token, known by their label: removed afterwards, and with those of a run that was killed.
struct ScratchObjects {
    /// What the labels of all of them begin with. Nothing else has such a label, and nothing else is ever removed.
    static let prefix = "claviger-doctor:"

    /// The label of this run's objects. Its length is that of the longest label of a real object.
    let label: String
    private var handles: [ObjectHandle] = []

    init() {
        let id: InstanceID = RandomSource.identifier()
        let owner: KeyID = RandomSource.identifier()
        label = "\(ScratchObjects.prefix)\(id):\(owner):4294967295"
    }

    /// Remembers an object of the token.
    mutating func add(_ handle: ObjectHandle) { handles.append(handle) }

    /// Removes the objects made since the last time. What stays is found by the sweep at the end.
    mutating func remove(_ session: inout Session) {
        for handle in handles { try? session.destroyObject(handle) }
        handles = []
    }

    /// What a sweep did.
    struct Swept {
        var removed = 0
        /// Objects that are still there.
        var left = 0
        /// The last refusal.
        var failure: CryptokiError?
    }

    /// Removes everything that a doctor has ever left, as far as the token lets it.
    static func sweep(_ session: inout Session) -> Swept {
        var swept = Swept()
        for objectClass in [ObjectClass.secretKey, .privateKey, .publicKey, .data] {
            do throws(CryptokiError) {
                let found = try session.findObjects(
                    matching: [.objectClass(objectClass), .bool(.token, true)], limit: 100_000)
                for object in found {
                    guard let label = try? session.bytes(.label, of: object), label.starts(with: prefix.utf8) else { continue }
                    do throws(CryptokiError) {
                        try session.destroyObject(object)
                        swept.removed += 1
                    } catch {
                        swept.left += 1
                        swept.failure = error
                    }
                }
            } catch {
                swept.failure = error
            }
        }
        return swept
    }
}
