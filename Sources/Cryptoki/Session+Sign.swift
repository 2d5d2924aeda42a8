internal import CCryptoki

extension Session {
    /// Signs or MACs in one part: C_SignInit and C_Sign (PKCS#11 v2.40 section 5.11).
    ///
    /// Allocates nothing. On an error `output` is wiped.
    ///
    /// - Parameter output: room for the signature: 32 bytes for ``Mechanism/hmacSHA256``, 64 for P-256, the modulus for RSA.
    /// - Returns: the bytes written to `output`.
    /// - Throws: ``ReturnValue/bufferTooSmall`` by C_Sign when the signature does not fit.
    public mutating func sign(
        _ mechanism: Mechanism, key: ObjectHandle, data: RawSpan, into output: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        var length = UInt(output.count)
        var begun: Int32 = 0
        let result = mechanism.withStructure { mechanism in
            data.withUnsafeBytes {
                cryptoki_sign(
                    functions.pointer, handle, mechanism, key.rawValue, $0.baseAddress, UInt($0.count), output.baseAddress,
                    &length, &begun)
            }
        }
        try CryptokiError.check(result, begun == 0 ? .signInit : .sign)
        return try Session.written(length, to: output, by: .sign)
    }

    /// Whether a signature or MAC is good: C_VerifyInit and C_Verify (PKCS#11 v2.40 section 5.12).
    ///
    /// Allocates nothing.
    ///
    /// - Returns: false for CKR_SIGNATURE_INVALID and CKR_SIGNATURE_LEN_RANGE. Some modules have other codes for a signature
    ///   of the wrong length; those are thrown.
    public mutating func verify(
        _ mechanism: Mechanism, key: ObjectHandle, data: RawSpan, signature: RawSpan
    ) throws(CryptokiError) -> Bool {
        var begun: Int32 = 0
        let result = mechanism.withStructure { mechanism in
            data.withUnsafeBytes { data in
                signature.withUnsafeBytes { signature in
                    cryptoki_verify(
                        functions.pointer, handle, mechanism, key.rawValue, data.baseAddress, UInt(data.count),
                        signature.baseAddress, UInt(signature.count), &begun)
                }
            }
        }
        let value = ReturnValue(rawValue: result)
        if begun != 0, value == .signatureInvalid || value == .signatureLengthRange { return false }
        try CryptokiError.check(result, begun == 0 ? .verifyInit : .verify)
        return true
    }
}
