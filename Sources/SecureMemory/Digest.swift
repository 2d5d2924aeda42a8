import COpenSSL

/// SHA-256 (FIPS 180-4) by libcrypto.
public enum SHA256 {
    /// The length of a digest in bytes.
    public static let byteCount = 32

    // Looked up once, since that takes about as long as the digest of a record. Unsafe in name only: any number of threads may use it
    // (EVP_MD_fetch(3)), and it is never freed.
    private nonisolated(unsafe) static let algorithm = EVP_MD_fetch(nil, "SHA256", nil)

    /// The digest of `bytes`.
    public static func digest(_ bytes: RawSpan) -> [UInt8] {
        bytes.withUnsafeBytes { digest($0) }
    }

    /// The digest of `bytes`.
    public static func digest(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: byteCount) { output, count in
            digest(bytes, into: UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: output[..<byteCount])))
            count = byteCount
        }
    }

    /// Writes the digest of `bytes` into `output`, of `byteCount` bytes.
    public static func digest(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
        precondition(output.count == byteCount, "a digest has \(byteCount) bytes")
        let isDone = EVP_Digest(bytes.baseAddress, bytes.count, output.baseAddress, nil, algorithm, nil) == 1
        precondition(isDone, "libcrypto has no SHA-256")
    }

    /// Computes one digest after another. Keeps the context, which a single one makes and throws away: a part of what the digest of some
    /// hundred bytes costs.
    public struct Computer: ~Copyable {
        private let context: OpaquePointer

        public init() {
            guard let context = EVP_MD_CTX_new() else { preconditionFailure("libcrypto has no memory") }
            self.context = context
        }

        deinit { EVP_MD_CTX_free(context) }

        /// Writes the digest of `bytes` into `output`, of `byteCount` bytes.
        public mutating func digest(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
            precondition(output.count == byteCount, "a digest has \(byteCount) bytes")
            let isDone =
                EVP_DigestInit_ex2(context, algorithm, nil) == 1
                && EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1
                && EVP_DigestFinal_ex(context, output.baseAddress, nil) == 1
            precondition(isDone, "libcrypto has no SHA-256")
        }
    }
}
