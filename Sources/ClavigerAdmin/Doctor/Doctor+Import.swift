import ClavigerCore
import ClavigerWire
import Cryptoki
import SecureMemory

// How keys come into the token: by a pair that an import token has, and by unwrapping at all.
extension Doctor {
    /// A pair as an import token has one, through which a key is sent as a client would, and then as a thief would.
    mutating func importPair() -> TrialRow {
        let name = "import pair"
        let template = ObjectTemplate(Doctor.name(.importPair), suite: .aesGCM, label: objects.label, quirks: report.quirks)
        do throws(CryptokiError) {
            let pair = try session.generateKeyPair(
                .rsaKeyPairGeneration, publicKey: template.publicKey, privateKey: template.privateKey)
            objects.add(pair.privateKey)
            try? session.destroyObject(pair.publicKey)
            if let difference = try template.difference(of: pair.privateKey, session: &session) {
                return TrialRow(name, .refused, "not as ordered, so that keys cannot be imported: \(difference)")
            }
            let factory = ObjectFactory(instance: RandomSource.identifier(), files: nil, quirks: report.quirks)
            do throws(ObjectFailure) {
                let found = try factory.importPair(pair.privateKey, session: &session, scratch: &scratch)
                return switch found.digest {
                case .sha256: TrialRow(name, .works, "RSAES-OAEP with SHA-256")
                case .sha1: TrialRow(name, .limited, "RSAES-OAEP with SHA-1 only")
                }
            } catch {
                return TrialRow(name, .refused, "keys cannot be imported: \(error)")
            }
        } catch {
            return TrialRow(name, .refused, "keys cannot be imported: \(error)")
        }
    }

    /// Imports rely on it: a key that comes in by C_UnwrapKey is as sensitive as its template says.
    mutating func unwrappedKeys() -> TrialRow {
        let name = "an unwrapped key stays sensitive"
        return unwrapping(name, TokenTrial.key([.encrypt, .decrypt])) { isReadable in
            isReadable
                ? TrialRow(name, .limited, "it can be read: import no keys into this token") : TrialRow(name, .works)
        }
    }

    /// What every token does by the standard, unless the unwrapping key has a CKA_UNWRAP_TEMPLATE: said, so that nobody is surprised.
    mutating func unwrappingReadable() -> TrialRow {
        let name = "unwrapping a wrapped key as one that can be read"
        return unwrapping(name, Doctor.readable(TokenTrial.key([.encrypt, .decrypt]))) { isReadable in
            isReadable
                ? TrialRow(name, .limited, "possible: with the PIN, data keys of suite 3 can be had from their envelopes")
                : TrialRow(name, .works, "prevented")
        }
    }

    private static func readable(_ attributes: [Attribute]) -> [Attribute] {
        attributes.map { attribute in
            switch attribute.type {
            case .sensitive: .bool(.sensitive, false)
            case .extractable: .bool(.extractable, true)
            case _: attribute
            }
        }
    }

    /// Wraps a key that may be wrapped and unwraps it by another template.
    private mutating func unwrapping(
        _ name: String, _ attributes: [Attribute], _ judge: (_ isReadable: Bool) -> TrialRow
    ) -> TrialRow {
        let listed = mechanisms
        return row(name) { (session) throws(CryptokiError) in
            let wrapper = try session.generateKey(.aesKeyGeneration, TokenTrial.key([.wrap, .unwrap]))
            defer { try? session.destroyObject(wrapper) }
            let object = try session.generateKey(.aesKeyGeneration, Doctor.readable(TokenTrial.key([.encrypt, .decrypt])))
            defer { try? session.destroyObject(object) }
            let iv = [UInt8](repeating: 0, count: 16)
            let way: Mechanism = listed.contains(.aesKeyWrap) ? .aesKeyWrap : .other(.aesCBCPad, parameter: iv.span.bytes)
            var wrapped = [UInt8](repeating: 0, count: 64)
            let outcome = wrapped.withUnsafeMutableBytes { buffer in
                Result { () throws(CryptokiError) in try session.wrapKey(way, wrappingKey: wrapper, key: object, into: buffer) }
            }
            let content = Array(wrapped.prefix(try outcome.get()))
            let wanted = attributes.filter { $0.type != .valueLength }
            let unwrapped: ObjectHandle
            do throws(CryptokiError) {
                unwrapped = try session.unwrapKey(way, unwrappingKey: wrapper, wrapped: content.span.bytes, wanted)
            } catch {
                // A template that the token does not take is a refusal where a readable key was wanted.
                if wanted.contains(.bool(.sensitive, false)) {
                    return TrialRow(name, .works, "such a template is refused: \(error)")
                }
                throw error
            }
            defer { try? session.destroyObject(unwrapped) }
            return judge((try? session.bytes(.value, of: unwrapped)) != nil)
        }
    }
}
