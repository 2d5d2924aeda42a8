import Cryptoki

extension SigningPublicKey {
    /// Has the token sign a SHA-256 digest with the private key that belongs to this one. Nothing is checked here.
    package func sign(
        _ digest: [UInt8], key: ObjectHandle, session: inout Session
    ) throws(CryptokiError) -> [UInt8] {
        var signature = [UInt8](repeating: 0, count: signatureLength)
        let input = input(digest)
        let outcome = signature.withUnsafeMutableBytes { output in
            Result { () throws(CryptokiError) in
                switch kind {
                case .ecP256: try session.sign(.ecdsa, key: key, data: input.span.bytes, into: output)
                case .rsa3072: try session.sign(.rsaPKCS, key: key, data: input.span.bytes, into: output)
                }
            }
        }
        guard try outcome.get() == signature.count else { throw .malformedReply(.sign) }
        return signature
    }
}
