import ClavigerCore
import ClavigerWire
import Cryptoki
import SecureMemory

// Each suite with keys of the token: sealing, opening, refusing, and how long a DEK may be.
extension Doctor {
    /// The version's objects as an instance makes them.
    mutating func handles(_ suite: Suite) throws(CryptokiError) -> (SuiteHandles, String?) {
        var made: [ObjectHandle] = []
        for part in suite.names(Doctor.name(.cipher)) {
            let (handle, difference) = try make(part, suite, report.quirks)
            if let difference { return (.aesGCM(cipher: handle), difference) }
            made.append(handle)
        }
        guard let handles = SuiteHandles(suite, made) else { throw .failed(.generateKey, .functionNotSupported) }
        return (handles, nil)
    }

    mutating func suites() -> [TrialRow] {
        var rows: [TrialRow] = []
        for suite in Suite.allCases {
            let missing = suite.mechanisms.filter { !mechanisms.contains($0) }
            guard missing.isEmpty else {
                let names = missing.map(\.description).joined(separator: ", ")
                rows.append(TrialRow(suite.name, .refused, "the token does not list \(names)"))
                continue
            }
            let row = carries(suite)
            if row.verdict == .works || row.verdict == .limited { report.suites.append(suite) }
            rows.append(row)
        }
        return rows
    }

    private mutating func carries(_ suite: Suite) -> TrialRow {
        do throws(CryptokiError) {
            let (handles, difference) = try handles(suite)
            if let difference { return TrialRow(suite.name, .refused, "a key is not as ordered: \(difference)") }
            var longest = 0
            for length in [16, 24, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096] {
                do throws(CryptokiError) {
                    guard try roundTrips(length, handles) else {
                        return TrialRow(suite.name, .dangerous, "what it sealed does not open as what it was (\(length) bytes)")
                    }
                    longest = length
                } catch {
                    guard suite == .aesKeyWrapWithHMAC, longest >= Limits.defaultGenerated else { throw error }
                    break
                }
            }
            if suite == .aesKeyWrapWithHMAC { report.quirks.keyWrapLimit = longest }
            let refusal = try refusesForgery(handles)
            guard let refusal else { return TrialRow(suite.name, .dangerous, "a forged envelope opens") }
            var limits: [String] = []
            if longest < Limits.maximumPlaintext { limits.append("plaintexts of at most \(longest) bytes") }
            if !refusal.isEmpty { limits.append(refusal) }
            return TrialRow(suite.name, limits.isEmpty ? .works : .limited, limits.joined(separator: "; "))
        } catch {
            return TrialRow(suite.name, .refused, error.description)
        }
    }

    private static func header(_ suite: Suite) -> [UInt8] {
        Envelope.header(suite: suite, keyID: KeyID(high: 1, low: 2), version: 1)
    }

    private mutating func seal(_ plaintext: [UInt8], _ handles: SuiteHandles) throws(CryptokiError) -> [UInt8] {
        let context = Context.empty
        var envelope = [UInt8](repeating: 0, count: Envelope.length(handles.suite, plaintext: plaintext.count))
        let outcome = envelope.withUnsafeMutableBytes { output in
            Result { () throws(CryptokiError) in
                try SuiteCipher.seal(
                    .given(count: plaintext.count, copy: { $0.copyBytes(from: plaintext) }), label: .knownAnswer,
                    header: Doctor.header(handles.suite), context: context.span.bytes, handles: handles, session: &session,
                    scratch: &scratch, into: output)
            }
        }
        _ = try outcome.get()
        return envelope
    }

    private mutating func open(_ bytes: [UInt8], _ handles: SuiteHandles) throws(OpenFailure) -> [UInt8] {
        let context = Context.empty
        guard let envelope = try? Envelope(bytes.span.bytes) else { throw .forged }
        return try SuiteCipher.open(
            envelope, of: bytes.span.bytes, label: .knownAnswer, header: Doctor.header(handles.suite),
            context: context.span.bytes, handles: handles, session: &session, scratch: &scratch
        ) { Array($0) }
    }

    private mutating func roundTrips(_ length: Int, _ handles: SuiteHandles) throws(CryptokiError) -> Bool {
        // Nobody's secret.
        let plaintext = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ length) }
        let envelope = try seal(plaintext, handles)
        do throws(OpenFailure) {
            return try open(envelope, handles) == plaintext
        } catch {
            if case .token(let cause) = error { throw cause }
            return false
        }
    }

    /// - Returns: nil when the forgery opens; else what is peculiar to the refusal, or nothing.
    private mutating func refusesForgery(_ handles: SuiteHandles) throws(CryptokiError) -> String? {
        var envelope = try seal([UInt8](repeating: 3, count: 32), handles)
        envelope[envelope.count - 1] ^= 1
        do throws(OpenFailure) {
            _ = try open(envelope, handles)
            return nil
        } catch {
            guard case .token(let cause) = error, let value = cause.returnValue else { return "" }
            switch value {
            case .encryptedDataInvalid, .encryptedDataLengthRange, .aeadDecryptFailed: return ""
            case _: return "a forged envelope gives \(value), which can mean a fault too: the daemon asks again to tell"
            }
        }
    }
}
