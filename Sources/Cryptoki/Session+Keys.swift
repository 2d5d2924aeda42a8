internal import CCryptoki

/// A public key and its private key.
public struct KeyPair: Hashable, Sendable {
    /// The public key's handle.
    public let publicKey: ObjectHandle
    /// The private key's handle.
    public let privateKey: ObjectHandle
}

extension Session {
    /// Generates a secret key on the token: C_GenerateKey (PKCS#11 v2.40 section 5.14).
    ///
    /// State every attribute and read it back: defaults differ between tokens, and some are not safe.
    public mutating func generateKey(
        _ mechanism: Mechanism, _ attributes: [Attribute]
    ) throws(CryptokiError) -> ObjectHandle {
        let template = Template(attributes)
        var key: CK_OBJECT_HANDLE = 0
        let result = mechanism.withStructure {
            cryptoki_generate_key(functions.pointer, handle, $0, template.attributes, UInt(template.count), &key)
        }
        try CryptokiError.check(result, .generateKey)
        ObjectTally.add(1)
        return try ObjectHandle(key, from: .generateKey)
    }

    /// Generates a key pair on the token: C_GenerateKeyPair (PKCS#11 v2.40 section 5.14).
    public mutating func generateKeyPair(
        _ mechanism: Mechanism, publicKey: [Attribute], privateKey: [Attribute]
    ) throws(CryptokiError) -> KeyPair {
        let publicTemplate = Template(publicKey)
        let privateTemplate = Template(privateKey)
        var publicHandle: CK_OBJECT_HANDLE = 0
        var privateHandle: CK_OBJECT_HANDLE = 0
        let result = mechanism.withStructure {
            cryptoki_generate_key_pair(
                functions.pointer, handle, $0, publicTemplate.attributes, UInt(publicTemplate.count),
                privateTemplate.attributes, UInt(privateTemplate.count), &publicHandle, &privateHandle)
        }
        try CryptokiError.check(result, .generateKeyPair)
        ObjectTally.add(2)
        return KeyPair(
            publicKey: try ObjectHandle(publicHandle, from: .generateKeyPair),
            privateKey: try ObjectHandle(privateHandle, from: .generateKeyPair))
    }
}
