import ClavigerWire
import Cryptoki

// The objects of a whole key version: one or two, as its suite has it.
extension ObjectFactory {
    /// Makes the objects of a key version; all of them or none.
    ///
    /// - Parameter name: the AES key's.
    package func makeVersion(
        _ name: ObjectName, _ suite: Suite, session: inout Session
    ) throws(ObjectFailure) -> SuiteHandles {
        var made: [ObjectHandle] = []
        do throws(ObjectFailure) {
            for part in suite.names(name) { made.append(try make(part, suite, session: &session)) }
            guard let handles = SuiteHandles(suite, made) else { throw .attributes("\(suite.name) has no role for it") }
            return handles
        } catch {
            // Half a version is none, and nobody knows of it yet.
            for object in made { try? session.destroyObject(object) }
            throw error
        }
    }

    /// The objects of a key version that an earlier attempt made, each exactly as ordered; nil when one is missing or in doubt.
    ///
    /// - Parameter isFromDisk: as for `existing`.
    package func existingVersion(
        _ name: ObjectName, _ suite: Suite, material: KeyMaterial = .generated, isFromDisk: Bool, session: inout Session
    ) throws(ObjectFailure) -> SuiteHandles? {
        var found: [ObjectHandle] = []
        for part in suite.names(name) {
            guard let object = try existing(part, suite, material: material, isFromDisk: isFromDisk, session: &session) else {
                return nil
            }
            found.append(object)
        }
        return SuiteHandles(suite, found)
    }
}
