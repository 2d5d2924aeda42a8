import CLinux
import ClavigerWire
import Glibc
import SecureMemory

/// Making and judging of PINs.
package enum PINRules {
    /// The length of a generated PIN: 32 characters of 5 bits are out of reach for every guesser, offline too.
    package static let generatedLength = 32
    /// The least length of a given PIN on a software token, whose file can be attacked offline: six digits fall in minutes.
    package static let softwareMinimum = 16

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)

    /// A random PIN of base32 characters (RFC 4648 section 6), as many as the token takes up to `generatedLength`.
    package static func generate(maximum: UInt) throws(AdminError) -> SecretBytes {
        let count = min(generatedLength, Int(clamping: maximum == 0 ? UInt(generatedLength) : maximum))
        var pin = try locked(count)
        pin.withUnsafeMutableBytes { bytes in
            var offset = 0
            while offset < count {
                let got = linux_getrandom(bytes.baseAddress.map { $0 + offset }, count - offset)
                if got > 0 { offset += got }
            }
            // 32 characters: five bits of each byte choose without bias.
            for index in 0..<count { bytes[index] = alphabet[Int(bytes[index] & 31)] }
        }
        return pin
    }

    /// Refuses a PIN that the token cannot take or that is too weak for it.
    package static func check(
        _ pin: borrowing SecretBytes, name: String, minimum: UInt, maximum: UInt, isSoftware: Bool, allowsWeak: Bool
    ) throws(AdminError) {
        guard pin.count >= 1, pin.count <= Limits.maximumPIN else {
            throw .pin("the \(name) has \(pin.count) bytes; it must have from 1 to \(Limits.maximumPIN)")
        }
        guard UInt(pin.count) >= minimum, maximum == 0 || UInt(pin.count) <= maximum else {
            throw .pin("the \(name) has \(pin.count) bytes; this token takes from \(minimum) to \(maximum)")
        }
        guard !isSoftware || allowsWeak || pin.count >= softwareMinimum else {
            throw .pin(
                "the \(name) has \(pin.count) bytes; a software token can be attacked offline, so at least \(softwareMinimum) are asked "
                    + "for (--weak-pin accepts less)")
        }
    }

    static func locked(_ count: Int) throws(AdminError) -> SecretBytes {
        do throws(SecureMemoryError) { return try SecretBytes(count: count) } catch {
            throw .setUp("memory for a PIN cannot be locked: raise RLIMIT_MEMLOCK (ulimit -l)")
        }
    }
}
