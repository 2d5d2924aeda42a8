import ClavigerCore
import ClavigerWire
import Cryptoki
import SecureMemory

// Keys as an instance makes them, attribute by attribute, and what else it keeps on a token.
extension Doctor {
    /// The name of an object that only tries the token out.
    static func name(_ role: KeyRole) -> ObjectName {
        ObjectName(key: RandomSource.identifier(), version: UInt32.max, role: role)
    }

    /// Makes a secret key as ordered and compares it with the order.
    ///
    /// - Returns: its handle, and the first difference.
    mutating func make(
        _ name: ObjectName, _ suite: Suite, _ quirks: TokenQuirks
    ) throws(CryptokiError) -> (ObjectHandle, String?) {
        let template = ObjectTemplate(name, suite: suite, label: objects.label, quirks: quirks)
        let mechanism: Mechanism = template.keyType == .aes ? .aesKeyGeneration : .genericSecretKeyGeneration
        let handle = try session.generateKey(mechanism, template.secretKey)
        objects.add(handle)
        return (handle, try template.difference(of: handle, session: &session))
    }

    mutating func attributes() -> [TrialRow] {
        var rows: [TrialRow] = []
        var open = TokenQuirks()
        open.openAttributes = Set(TokenQuirks.OpenAttribute.allCases)
        report.quirks.openAttributes = open.openAttributes
        let suite = SuiteChoice(mechanisms: mechanisms).suites.first ?? .aesGCM
        do throws(CryptokiError) {
            let (_, difference) = try make(Doctor.name(.cipher), suite, open)
            rows.append(
                TrialRow("AES-256 key made in the token", difference == nil ? .works : .dangerous, difference ?? ""))
        } catch {
            return [TrialRow("AES-256 key made in the token", .refused, error.description)]
        }
        for attribute in TokenQuirks.OpenAttribute.allCases {
            let name = "\(attribute.type) is kept"
            var quirks = open
            quirks.openAttributes.remove(attribute)
            do throws(CryptokiError) {
                let (_, difference) = try make(Doctor.name(.cipher), suite, quirks)
                if let difference {
                    rows.append(TrialRow(name, .limited, "open: \(difference)"))
                } else {
                    report.quirks.openAttributes.remove(attribute)
                    rows.append(TrialRow(name, .works))
                }
            } catch {
                rows.append(TrialRow(name, .limited, "open: \(error)"))
            }
        }
        return rows
    }

    mutating func others() -> [TrialRow] {
        [pair(.ecP256), pair(.rsa3072), privateData(), unwrappedKeys()]
    }

    private mutating func pair(_ kind: TokenQuirks.AuditKey) -> TrialRow {
        let name = "signing pair \(kind.rawValue)"
        var quirks = report.quirks
        quirks.auditKey = kind
        let template = ObjectTemplate(Doctor.name(.audit), suite: .aesGCM, label: objects.label, quirks: quirks)
        do throws(CryptokiError) {
            let mechanism: Mechanism = kind == .ecP256 ? .ecKeyPairGeneration : .rsaKeyPairGeneration
            let pair = try session.generateKeyPair(
                mechanism, publicKey: template.publicKey, privateKey: template.privateKey)
            objects.add(pair.privateKey)
            objects.add(pair.publicKey)
            if let difference = try template.difference(of: pair.privateKey, session: &session) {
                return TrialRow(name, .refused, "not as ordered: \(difference)")
            }
            let known =
                kind == .ecP256
                ? SigningPublicKey(attribute: try session.bytes(.ecPoint, of: pair.publicKey))
                : SigningPublicKey(modulus: try session.bytes(.modulus, of: pair.publicKey))
            guard let known else { return TrialRow(name, .refused, "its public key is not one") }
            let digest = SHA256.digest(Array("claviger".utf8).span.bytes)
            let signature = try known.sign(digest, key: pair.privateKey, session: &session)
            guard known.verifies(signature, of: digest) else { return TrialRow(name, .dangerous, "its signature is wrong") }
            switch kind {
            case .ecP256: hasCurve = true
            case .rsa3072: if !hasCurve { report.quirks.auditKey = .rsa3072 }
            }
            return TrialRow(name, .works)
        } catch {
            return TrialRow(name, .refused, error.description)
        }
    }

    private mutating func privateData() -> TrialRow {
        let name = "private data object"
        let label = objects.label
        let outcome = row(name) { (session) throws(CryptokiError) in
            let content: [UInt8] = Array(1...64)
            let object = try session.createObject([
                .objectClass(.data), .bool(.token, true), .bool(.private, true), .label(label), .text(.application, "claviger"),
                .bytes(.value, content),
            ])
            defer { try? session.destroyObject(object) }
            let isSame = try session.bytes(.value, of: object) == content
            return TrialRow(name, isSame ? .works : .refused, isSame ? "" : "it reads back as something else")
        }
        report.quirks.holdsPrivateData = outcome.verdict == .works
        return outcome
    }

    /// Imports rely on it: a key that comes in by C_UnwrapKey is as sensitive as its template says.
    private mutating func unwrappedKeys() -> TrialRow {
        let name = "an unwrapped key stays sensitive"
        let listed = mechanisms
        return row(name) { (session) throws(CryptokiError) in
            let uses: [AttributeType] = [.wrap, .unwrap]
            let wrapper = try session.generateKey(.aesKeyGeneration, TokenTrial.key(uses))
            defer { try? session.destroyObject(wrapper) }
            let value = [UInt8](repeating: 5, count: 32)
            let open = TokenTrial.key([.encrypt, .decrypt]).filter { $0.type != .valueLength }.map { attribute -> Attribute in
                switch attribute.type {
                case .sensitive: .bool(.sensitive, false)
                case .extractable: .bool(.extractable, true)
                case _: attribute
                }
            }
            let object = try session.createObject(open, value: value.span.bytes)
            defer { try? session.destroyObject(object) }
            let iv = [UInt8](repeating: 0, count: 16)
            let way: Mechanism = listed.contains(.aesKeyWrap) ? .aesKeyWrap : .other(.aesCBCPad, parameter: iv.span.bytes)
            var wrapped = [UInt8](repeating: 0, count: 64)
            let outcome = wrapped.withUnsafeMutableBytes { buffer in
                Result { () throws(CryptokiError) in try session.wrapKey(way, wrappingKey: wrapper, key: object, into: buffer) }
            }
            let content = Array(wrapped.prefix(try outcome.get()))
            let closed = TokenTrial.key([.encrypt, .decrypt]).filter { $0.type != .valueLength }
            let unwrapped = try session.unwrapKey(way, unwrappingKey: wrapper, wrapped: content.span.bytes, closed)
            defer { try? session.destroyObject(unwrapped) }
            let isReadable = (try? session.bytes(.value, of: unwrapped)) != nil
            return isReadable
                ? TrialRow(name, .limited, "it can be read: import no keys into this token")
                : TrialRow(name, .works)
        }
    }
}
