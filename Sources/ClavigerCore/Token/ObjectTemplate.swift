import ClavigerWire
import Cryptoki

/// What an object of ours must be like: the template it is made with and the attributes it is held to afterwards.
///
/// Every attribute is set, since defaults are hostile (a key made without naming its uses may do everything and is readable), and
/// every one is read back. CKA_MODIFIABLE stands last: some tokens apply a template in its order.
package struct ObjectTemplate: Sendable {
    /// The object's name.
    package let name: ObjectName
    /// The object's label.
    package let label: String
    /// The one mechanism that the object may be used with.
    package let mechanism: MechanismType
    /// Where a secret key comes from.
    package let material: KeyMaterial
    private let uses: Set<AttributeType>
    let quirks: TokenQuirks

    /// - Parameters:
    ///   - suite: of the key version that the object belongs to; it decides what a key that encrypts is made for.
    ///   - quirks: what the token does not keep.
    package init(
        _ name: ObjectName, suite: Suite, material: KeyMaterial = .generated, instance: InstanceID, quirks: TokenQuirks
    ) {
        self.init(name, suite: suite, material: material, label: name.label(instance: instance), quirks: quirks)
    }

    /// As the other, under a label that is no instance's: for objects that only try the token out.
    package init(
        _ name: ObjectName, suite: Suite, material: KeyMaterial = .generated, label: String, quirks: TokenQuirks
    ) {
        self.name = name
        self.quirks = quirks
        self.material = material
        self.label = label
        switch name.role {
        case .cipher, .canary, .vault:
            switch suite {
            case .aesGCM: (mechanism, uses) = (.aesGCM, [.encrypt, .decrypt])
            case .aesCBCWithHMAC: (mechanism, uses) = (.aesCBC, [.encrypt, .decrypt])
            case .aesKeyWrapWithHMAC: (mechanism, uses) = (.aesKeyWrap, [.wrap, .unwrap])
            }
        case .authentication, .mac, .canaryAuthentication, .vaultAuthentication:
            (mechanism, uses) = (.hmacSHA256, [.sign, .verify])
        case .audit:
            switch quirks.auditKey {
            case .ecP256: (mechanism, uses) = (.ecdsa, [.sign])
            case .rsa3072: (mechanism, uses) = (.rsaPKCS, [.sign])
            }
        case .importPair: (mechanism, uses) = (.rsaOAEP, [.unwrap])
        }
    }

    /// The uses that a secret key can have. SIGN_RECOVER and VERIFY_RECOVER belong to key pairs (PKCS#11 v2.40 section 4.9).
    static let secretKeyUses: [AttributeType] = [.encrypt, .decrypt, .sign, .verify, .wrap, .unwrap, .derive]
    private static let privateKeyUses: [AttributeType] = [.decrypt, .sign, .signRecover, .unwrap, .derive]
    static let publicKeyUses: [AttributeType] = [.encrypt, .verify, .verifyRecover, .wrap, .derive]

    /// Whether it is a key pair.
    package var isPair: Bool { name.role == .audit || name.role == .importPair }

    /// The object's class, of the private key for a pair.
    package var objectClass: ObjectClass { isPair ? .privateKey : .secretKey }

    /// The object's key type.
    package var keyType: KeyType {
        switch name.role {
        case .cipher, .canary, .vault: .aes
        case .authentication, .mac, .canaryAuthentication, .vaultAuthentication: .genericSecret
        case .audit:
            switch quirks.auditKey {
            case .ecP256: .ec
            case .rsa3072: .rsa
            }
        case .importPair: .rsa
        }
    }

    /// The length of a generated secret key in bytes.
    package static let secretKeyLength: UInt = 32

    /// The template for C_GenerateKey, or for the call that brings a key in: there the material itself has a length, and some tokens
    /// refuse to be told it.
    package var secretKey: [Attribute] {
        let length: [Attribute] =
            switch material {
            case .generated: [.ulong(.valueLength, ObjectTemplate.secretKeyLength)]
            case .imported: []
            }
        return [.objectClass(.secretKey), .keyType(keyType)] + length
            + identity(isPrivate: true) + [.bool(.sensitive, true), .bool(.extractable, false)]
            + ObjectTemplate.secretKeyUses.map { .bool($0, uses.contains($0)) } + fences
    }

    /// The template of a pair's private key for C_GenerateKeyPair.
    package var privateKey: [Attribute] {
        let fence: [Attribute] =
            name.role == .importPair ? [.template(.unwrapTemplate, ObjectTemplate.unwrapFence(quirks))] : []
        return [.objectClass(.privateKey), .keyType(keyType)]
            + identity(isPrivate: true) + [.bool(.sensitive, true), .bool(.extractable, false)]
            + ObjectTemplate.privateKeyUses.map { .bool($0, uses.contains($0)) } + fence + fences
    }

    /// The template of a pair's public key: not private, since it is for everybody.
    package var publicKey: [Attribute] {
        if name.role == .importPair { return importPublicKey }
        let parameters: [Attribute] =
            switch quirks.auditKey {
            case .ecP256: [.bytes(.ecParameters, ObjectTemplate.p256)]
            case .rsa3072: [.ulong(.modulusBits, 3_072), .bytes(.publicExponent, [1, 0, 1])]
            }
        return [.objectClass(.publicKey), .keyType(keyType)] + parameters + identity(isPrivate: false)
            + ObjectTemplate.publicKeyUses.map { .bool($0, $0 == .verify) }
            + kept([.bool(.copyable, false), .bool(.destroyable, true), .bool(.modifiable, false)])
    }

    private func kept(_ attributes: [Attribute]) -> [Attribute] { attributes.filter { quirks.keeps($0.type) } }

    /// The DER form of the object identifier of P-256, 1.2.840.10045.3.1.7.
    private static let p256: [UInt8] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]

    private func identity(isPrivate: Bool) -> [Attribute] {
        [.bool(.token, true), .bool(.private, isPrivate), .label(label), .id(name.objectID)]
    }

    private var fences: [Attribute] {
        kept([
            .allowedMechanisms([mechanism]), .bool(.copyable, false), .bool(.destroyable, true), .bool(.modifiable, false),
        ])
    }

    /// What the object must read back as. Its origin is the token's own statement: that a generated key was never anything else, and
    /// that an imported one has been elsewhere.
    package var required: [(AttributeType, Bool)] {
        let all = isPair ? ObjectTemplate.privateKeyUses : ObjectTemplate.secretKeyUses
        let origin: [(AttributeType, Bool)] =
            switch material {
            case .generated: [(.local, true), (.alwaysSensitive, true), (.neverExtractable, true)]
            case .imported: [(.local, false)]
            }
        return [
            (.token, true), (.private, true), (.sensitive, true), (.extractable, false), (.copyable, false),
            (.destroyable, true), (.modifiable, false),
        ].filter { quirks.keeps($0.0) } + origin.filter { quirks.keeps($0.0) } + all.map { ($0, uses.contains($0)) }
    }

    /// Compares an object with what it must be.
    ///
    /// - Returns: the first difference, in words for the operator; nil when there is none.
    package func difference(of object: ObjectHandle, session: inout Session) throws(CryptokiError) -> String? {
        let readings = try session.bools(required.map(\.0), of: object)
        for (reading, (type, value)) in zip(readings, required) where reading != .value(value) {
            return "\(type) is not \(value)"
        }
        guard try session.ulong(.objectClass, of: object) == objectClass.rawValue else { return "CKA_CLASS differs" }
        guard try session.ulong(.keyType, of: object) == keyType.rawValue else { return "CKA_KEY_TYPE differs" }
        guard try session.bytes(.id, of: object) == name.objectID else { return "CKA_ID differs" }
        guard try session.bytes(.label, of: object) == Array(label.utf8) else { return "CKA_LABEL differs" }
        if quirks.keeps(.allowedMechanisms) {
            guard try session.mechanisms(.allowedMechanisms, of: object) == [mechanism] else {
                return "CKA_ALLOWED_MECHANISMS differs"
            }
        }
        if isPair { return try pairDifference(of: object, session: &session) }
        return try lengthDifference(of: object, session: &session)
    }
}
