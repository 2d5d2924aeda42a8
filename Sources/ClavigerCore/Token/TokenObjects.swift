import ClavigerWire
import Cryptoki

/// What stands on the token under our instance's name, found once after each login.
package struct TokenObjects: Sendable {
    /// One object of ours.
    package struct Found: Sendable, Hashable {
        package let handle: ObjectHandle
        package let objectID: [UInt8]
        package let label: String
        package let objectClass: ObjectClass
    }

    /// The keys by their CKA_ID: secret and private ones, which are what records speak of.
    package private(set) var keys: [[UInt8]: [Found]] = [:]

    /// How many objects could not even be asked whose they are.
    package private(set) var unreadable = 0

    /// The most objects that are looked at: no token known holds as many.
    private static let maximum = 1_000_000

    /// Finds all objects whose label begins as ours do. Call it under the lock that serialises finding and creating.
    package init(instance: InstanceID, session: inout Session) throws(CryptokiError) {
        let prefix = Array(ObjectName.labelPrefix(instance: instance).utf8)
        for objectClass in [ObjectClass.secretKey, .privateKey] {
            let handles = try session.findObjects(
                matching: [.objectClass(objectClass), .bool(.token, true)], limit: TokenObjects.maximum)
            for handle in handles {
                let label: [UInt8]
                let objectID: [UInt8]
                do throws(CryptokiError) {
                    label = try session.bytes(.label, of: handle)
                    guard label.starts(with: prefix) else { continue }
                    objectID = try session.bytes(.id, of: handle)
                } catch {
                    // One object that cannot be read (somebody else's without a label, ours with a damaged file) must not keep all
                    // others from being found. A token that answers nothing more is told by the canary.
                    unreadable += 1
                    continue
                }
                let found = Found(
                    handle: handle, objectID: objectID, label: String(decoding: label, as: UTF8.self), objectClass: objectClass)
                keys[objectID, default: []].append(found)
            }
        }
    }

    /// Takes the objects of a name out: what is left in the end belongs to no record.
    package mutating func take(_ name: ObjectName) -> [Found] {
        keys.removeValue(forKey: name.objectID) ?? []
    }

    /// Whether there are keys of a CKA_ID that nobody has taken.
    func holds(_ objectID: [UInt8]) -> Bool { keys[objectID] != nil }

    /// Forgets the objects of a CKA_ID: they are gone, or are to go.
    mutating func forget(_ objectID: [UInt8]) { keys[objectID] = nil }

    /// Objects of ours that nobody has taken.
    package var rest: [Found] { keys.values.flatMap { $0 } }
}
