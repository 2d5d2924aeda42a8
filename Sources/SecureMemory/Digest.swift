import COpenSSL

/// SHA-256 (FIPS 180-4) by libcrypto.
public enum SHA256 {
    /// The length of a digest in bytes.
    public static let byteCount = 32

    /// The digest of `bytes`.
    public static func digest(_ bytes: RawSpan) -> [UInt8] {
        bytes.withUnsafeBytes { digest($0) }
    }

    /// The digest of `bytes`.
    public static func digest(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: byteCount) { output, count in
            _ = COpenSSL.SHA256(bytes.baseAddress, bytes.count, output.baseAddress)
            count = byteCount
        }
    }
}
