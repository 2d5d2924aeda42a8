internal import CCryptoki

extension Session {
    /// Encrypts in one part: C_EncryptInit and C_Encrypt (PKCS#11 v2.40 section 5.8).
    ///
    /// Allocates nothing. On an error `output` is wiped.
    ///
    /// - Parameters:
    ///   - plaintext: passed to the module from where it lies.
    ///   - output: room for the ciphertext; for ``Mechanism/aesGCM(iv:additionalData:tagBits:)`` the plaintext's length and the
    ///     tag's. It must not overlap the input.
    /// - Returns: the bytes written to `output`.
    /// - Throws: ``CryptokiError/bufferTooSmall(needed:)`` before any call where the mechanism fixes the length, else
    ///   ``ReturnValue/bufferTooSmall`` by C_Encrypt.
    public mutating func encrypt(
        _ mechanism: Mechanism, key: ObjectHandle, plaintext: RawSpan, into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        let needed = mechanism.ciphertextLength(of: plaintext.byteCount)
        guard output.count >= needed else { throw .bufferTooSmall(needed: needed) }
        var length = UInt(output.count)
        var begun: Int32 = 0
        let result = mechanism.withStructure { mechanism in
            plaintext.withUnsafeBytes {
                cryptoki_encrypt(
                    functions.pointer, handle, mechanism, key.rawValue, $0.baseAddress, UInt($0.count), output.baseAddress,
                    &length, &begun)
            }
        }
        try CryptokiError.check(result, begun == 0 ? .encryptInit : .encrypt)
        return try Session.written(length, to: output, by: .encrypt)
    }

    /// Decrypts in one part: C_DecryptInit and C_Decrypt (PKCS#11 v2.40 section 5.9).
    ///
    /// Allocates nothing. On an error `output` is wiped. What a ciphertext that fails its check gives differs between modules
    /// (``ReturnValue/encryptedDataInvalid``, ``ReturnValue/aeadDecryptFailed``, also ``ReturnValue/generalError``).
    ///
    /// - Parameters:
    ///   - output: room for as many bytes as `ciphertext` has, also where the plaintext is shorter: some modules want it for
    ///     GCM. It must not overlap the input.
    /// - Returns: the bytes written to `output`.
    /// - Throws: ``CryptokiError/bufferTooSmall(needed:)`` before any call.
    public mutating func decrypt(
        _ mechanism: Mechanism, key: ObjectHandle, ciphertext: RawSpan, into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        guard output.count >= ciphertext.byteCount else { throw .bufferTooSmall(needed: ciphertext.byteCount) }
        var length = UInt(output.count)
        var begun: Int32 = 0
        let result = mechanism.withStructure { mechanism in
            ciphertext.withUnsafeBytes {
                cryptoki_decrypt(
                    functions.pointer, handle, mechanism, key.rawValue, $0.baseAddress, UInt($0.count), output.baseAddress,
                    &length, &begun)
            }
        }
        try CryptokiError.check(result, begun == 0 ? .decryptInit : .decrypt)
        return try Session.written(length, to: output, by: .decrypt)
    }

    /// The length that the module reported, once it is known to be within the buffer.
    static func written(
        _ length: UInt, to output: UnsafeMutableRawBufferPointer, by function: Function
    ) throws(CryptokiError) -> Int {
        guard length <= UInt(output.count) else { throw .malformedReply(function) }
        return Int(length)
    }
}
