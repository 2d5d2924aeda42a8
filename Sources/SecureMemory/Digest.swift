import COpenSSL

/// SHA-256 (FIPS 180-4) by libcrypto.
public enum SHA256 {
    /// The length of a digest in bytes.
    public static let byteCount = 32

    /// The digest of `bytes`.
    public static func digest(_ bytes: RawSpan) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: byteCount) { output, count in
            bytes.withUnsafeBytes { input in _ = COpenSSL.SHA256(input.baseAddress, input.count, output.baseAddress) }
            count = byteCount
        }
    }
}
