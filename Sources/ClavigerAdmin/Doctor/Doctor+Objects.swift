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
        [pair(.ecP256), pair(.rsa3072), importPair(), privateData(), unwrappedKeys(), namesakes(), destroying()]
    }

    /// What came of ordering a pair.
    enum MadePair {
        case pair(ObjectHandle, SigningPublicKey)
        case different(String)
    }

    mutating func makePair(_ kind: TokenQuirks.AuditKey) throws(CryptokiError) -> MadePair {
        var quirks = report.quirks
        quirks.auditKey = kind
        let template = ObjectTemplate(Doctor.name(.audit), suite: .aesGCM, label: objects.label, quirks: quirks)
        let mechanism: Mechanism = kind == .ecP256 ? .ecKeyPairGeneration : .rsaKeyPairGeneration
        let pair = try session.generateKeyPair(
            mechanism, publicKey: template.publicKey, privateKey: template.privateKey)
        objects.add(pair.privateKey)
        objects.add(pair.publicKey)
        if let difference = try template.difference(of: pair.privateKey, session: &session) {
            return .different("not as ordered: \(difference)")
        }
        let known =
            kind == .ecP256
            ? SigningPublicKey(attribute: try session.bytes(.ecPoint, of: pair.publicKey))
            : SigningPublicKey(modulus: try session.bytes(.modulus, of: pair.publicKey))
        guard let known else { return .different("its public key is not one") }
        return .pair(pair.privateKey, known)
    }

    private mutating func pair(_ kind: TokenQuirks.AuditKey) -> TrialRow {
        let name = "signing pair \(kind.rawValue)"
        do throws(CryptokiError) {
            switch try makePair(kind) {
            case .different(let what): return TrialRow(name, .refused, what)
            case .pair(let privateKey, let known):
                let digest = SHA256.digest(Array("claviger".utf8).span.bytes)
                let signature = try known.sign(digest, key: privateKey, session: &session)
                guard known.verifies(signature, of: digest) else { return TrialRow(name, .dangerous, "its signature is wrong") }
            }
            switch kind {
            case .ecP256: hasCurve = true
            case .rsa3072: if !hasCurve { report.quirks.auditKey = .rsa3072 }
            }
            return TrialRow(name, .works)
        } catch {
            return TrialRow(name, .refused, error.description)
        }
    }

    /// Two keys of one name: whether the token keeps them apart is not asked, only whether it takes them.
    private mutating func namesakes() -> TrialRow {
        let name = "one object for a CKA_ID"
        let suite = report.suites.first ?? .aesGCM
        let twin = Doctor.name(.cipher)
        do throws(CryptokiError) {
            _ = try make(twin, suite, report.quirks)
        } catch {
            return TrialRow(name, .notTried, error.description)
        }
        do throws(CryptokiError) {
            _ = try make(twin, suite, report.quirks)
            return TrialRow(
                name, .limited, "it takes several: the one whose known answer opens counts, the others are quarantined")
        } catch {
            return TrialRow(name, .works)
        }
    }

    private mutating func destroying() -> TrialRow {
        let name = "destroying a key"
        let suite = report.suites.first ?? .aesGCM
        let mortal = Doctor.name(.cipher)
        do throws(CryptokiError) {
            let key = try make(mortal, suite, report.quirks).0
            do throws(CryptokiError) {
                try session.destroyObject(key)
            } catch {
                return TrialRow(name, .limited, "keys cannot be purged, nor what the doctor makes: \(error)")
            }
            let found = try session.findObjects(matching: [.bool(.token, true), .id(mortal.objectID)], limit: 1)
            return found.isEmpty ? TrialRow(name, .works) : TrialRow(name, .limited, "it says so, and the key is still there")
        } catch {
            return TrialRow(name, .notTried, error.description)
        }
    }

    private mutating func privateData() -> TrialRow {
        let name = "private data object"
        let label = objects.label
        let outcome = row(name, .refused) { (session) throws(CryptokiError) in
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
}
