internal import CCryptoki

extension Session {
    /// Encrypts a key under another, inside the token: C_WrapKey (PKCS#11 v2.40 section 5.14).
    ///
    /// - Parameter output: room for the wrapped key: its length and 8 bytes for ``Mechanism/aesKeyWrap``. Wiped on an error.
    /// - Returns: the bytes written to `output`.
    public mutating func wrapKey(
        _ mechanism: Mechanism, wrappingKey: ObjectHandle, key: ObjectHandle, into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        var length = UInt(output.count)
        let result = mechanism.withStructure {
            cryptoki_wrap_key(
                functions.pointer, handle, $0, wrappingKey.rawValue, key.rawValue, output.baseAddress, &length)
        }
        try CryptokiError.check(result, .wrapKey)
        return try Session.written(length, to: output, by: .wrapKey)
    }

    /// Decrypts a wrapped key into a new object, inside the token: C_UnwrapKey (PKCS#11 v2.40 section 5.14).
    ///
    /// - Parameter attributes: the new key's; state every one. Some tokens refuse CKA_VALUE_LEN here, as the standard has it.
    public mutating func unwrapKey(
        _ mechanism: Mechanism, unwrappingKey: ObjectHandle, wrapped: RawSpan, _ attributes: [Attribute]
    ) throws(CryptokiError) -> ObjectHandle {
        let template = Template(attributes)
        var key: CK_OBJECT_HANDLE = 0
        let result = mechanism.withStructure { mechanism in
            wrapped.withUnsafeBytes {
                cryptoki_unwrap_key(
                    functions.pointer, handle, mechanism, unwrappingKey.rawValue, $0.baseAddress, UInt($0.count),
                    template.attributes, UInt(template.count), &key)
            }
        }
        try CryptokiError.check(result, .unwrapKey)
        ObjectTally.add(1)
        return try ObjectHandle(key, from: .unwrapKey)
    }
}
