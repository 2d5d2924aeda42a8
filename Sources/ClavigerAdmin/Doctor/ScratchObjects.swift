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

    /// Removes the objects made since the last time.
    mutating func remove(_ session: inout Session) {
        for handle in handles { try? session.destroyObject(handle) }
        handles = []
    }

    /// Removes everything that a doctor has ever left.
    ///
    /// - Returns: how many there were.
    static func sweep(_ session: inout Session) throws(CryptokiError) -> Int {
        var count = 0
        for objectClass in [ObjectClass.secretKey, .privateKey, .publicKey, .data] {
            let found = try session.findObjects(matching: [.objectClass(objectClass), .bool(.token, true)], limit: 100_000)
            for object in found {
                guard let label = try? session.bytes(.label, of: object), label.starts(with: prefix.utf8) else { continue }
                try session.destroyObject(object)
                count += 1
            }
        }
        return count
    }
}
