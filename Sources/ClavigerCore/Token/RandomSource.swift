import CLinux
import ClavigerWire
import Cryptoki
import Glibc
import SecureMemory

/// Random bytes: the token's generator XOR the kernel's, never fetched ahead.
///
/// A software token repeats its stream when a machine is resumed from a snapshot, and an HSM's generator is not ours to judge: the
/// XOR is as good as the better of the two.
package enum RandomSource {
    /// Fills `output`.
    package static func fill(
        _ output: UnsafeMutableRawBufferPointer, with session: inout Session
    ) throws(CryptokiError) {
        precondition(output.count <= maximumCount)
        try session.random(into: output)
        withUnsafeTemporaryAllocation(byteCount: maximumCount, alignment: 1) { other in
            let kernel = UnsafeMutableRawBufferPointer(rebasing: other[..<output.count])
            kernelBytes(kernel)
            for index in 0..<output.count { output[index] ^= kernel[index] }
            wipe(kernel)
        }
    }

    /// The most bytes of one call: a DEK of the greatest size.
    package static let maximumCount = Limits.maximumGenerated

    /// A random identifier. Unpredictable to callers, but no secret, so the kernel's generator alone will do.
    package static func identifier<Kind>() -> Identifier<Kind> {
        var words: (UInt64, UInt64) = (0, 0)
        withUnsafeMutableBytes(of: &words) { kernelBytes($0) }
        return Identifier(random: words)
    }

    /// Random bytes that are no secret, such as a nonce that a caller is shown: the kernel's.
    package static func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { storage, filled in
            kernelBytes(UnsafeMutableRawBufferPointer(storage))
            filled = count
        }
    }

    private static func kernelBytes(_ output: UnsafeMutableRawBufferPointer) {
        var offset = 0
        while offset < output.count {
            let count = linux_getrandom(output.baseAddress.map { $0 + offset }, output.count - offset)
            // getrandom(2) without flags fails only on a bad address, or EINTR before the pool is ready.
            precondition(count > 0 || errno == EINTR, "getrandom(2) failed")
            if count > 0 { offset += count }
        }
    }
}
