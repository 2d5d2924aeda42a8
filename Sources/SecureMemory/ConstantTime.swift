import COpenSSL
import Glibc

/// Whether two byte sequences are equal, in time that depends on their lengths only (CRYPTO_memcmp).
public func constantTimeEqual(_ left: RawSpan, _ right: RawSpan) -> Bool {
    guard left.byteCount == right.byteCount else { return false }
    guard left.byteCount > 0 else { return true }
    return left.withUnsafeBytes { a in
        right.withUnsafeBytes { b in CRYPTO_memcmp(a.baseAddress, b.baseAddress, a.count) == 0 }
    }
}

/// Overwrites memory with zeroes in a way that the optimiser may not remove (explicit_bzero).
public func wipe(_ bytes: UnsafeMutableRawBufferPointer) {
    if let address = bytes.baseAddress { explicit_bzero(address, bytes.count) }
}
