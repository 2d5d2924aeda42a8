import ClavigerWire
import Cryptoki

// Key versions from outside. They are of suite 1: the proof is of AES-GCM, and a second key for a MAC would have to come from elsewhere.
extension ObjectFactory {
    /// Makes a key version's object of material that has been proven, and proves the object too.
    package func unwrapVersion(
        _ name: ObjectName, _ wrapped: WrappedMaterial, by pair: ImportPair, session: inout Session,
        scratch: inout CipherScratch
    ) throws(ObjectFailure) -> SuiteHandles {
        let handle = try bring(name, bits: wrapped.bits, session: &session) {
            (session, attributes) throws(CryptokiError) in
            try session.unwrapKey(
                .rsaOAEP(pair.digest.mechanism), unwrappingKey: pair.privateKey, wrapped: wrapped.payload.span.bytes,
                attributes)
        }
        do throws(ImportFailure) {
            try ImportPair.open(wrapped, with: handle, session: &session, scratch: &scratch)
            return .aesGCM(cipher: handle)
        } catch {
            try? session.destroyObject(handle)
            switch error {
            case .token(let error): throw .token(error)
            case .unproven, .notAsOrdered: throw .attributes("it is not the key that was proven")
            }
        }
    }

    /// Makes a key version's object of material that came in the request itself.
    ///
    /// - Parameter material: 16, 24 or 32 bytes in locked memory; they go to the module from there.
    package func createVersion(
        _ name: ObjectName, material: RawSpan, session: inout Session
    ) throws(ObjectFailure) -> SuiteHandles {
        let handle = try bring(name, bits: UInt32(material.byteCount * 8), session: &session) {
            (session, attributes) throws(CryptokiError) in try session.createObject(attributes, value: material)
        }
        return .aesGCM(cipher: handle)
    }

    private func bring(
        _ name: ObjectName, bits: UInt32, session: inout Session,
        _ make: (inout Session, [Attribute]) throws(CryptokiError) -> ObjectHandle
    ) throws(ObjectFailure) -> ObjectHandle {
        let template = self.template(name, .aesGCM, .imported(bits: bits))
        let before = try objectFiles()
        let handle = try mapping(ObjectFailure.token) { () throws(CryptokiError) in try make(&session, template.secretKey) }
        return try keep(handle, as: template, before: before, newFiles: 1, session: &session)
    }
}
