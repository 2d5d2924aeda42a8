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
                let envelope: [UInt8]
                do throws(CryptokiError) {
                    envelope = try seal(Doctor.plaintext(length), handles)
                } catch {
                    guard suite == .aesKeyWrapWithHMAC, longest >= Limits.defaultGenerated else { throw error }
                    break
                }
                if let loss = try loss(of: envelope, length, handles) {
                    return TrialRow(
                        suite.name, .dangerous, "what it sealed does not open as what it was (\(length) bytes): \(loss)")
                }
                longest = length
            }
            var limits: [String] = []
            if suite == .aesKeyWrapWithHMAC {
                report.quirks.keyWrapLimit = longest
                if let loss = try insideLoss(handles) { return TrialRow(suite.name, .dangerous, loss) }
            }
            let refusal = try refusesForgery(handles)
            guard let refusal else { return TrialRow(suite.name, .dangerous, "a forged envelope opens") }
            if longest < Limits.maximumPlaintext { limits.append("plaintexts of at most \(longest) bytes") }
            if !refusal.isEmpty { limits.append(refusal) }
            return TrialRow(suite.name, limits.isEmpty ? .works : .limited, limits.joined(separator: "; "))
        } catch {
            return TrialRow(suite.name, .refused, error.description)
        }
    }

    /// A data key that nobody is shown: made and wrapped inside, and moved to another envelope inside.
    ///
    /// - Returns: what is wrong; nil when nothing is.
    private mutating func insideLoss(_ handles: SuiteHandles) throws(CryptokiError) -> String? {
        var envelope = ScratchEnvelope()
        try envelope.generateInside(handles, &session)
        do throws(CryptokiError) {
            let digest = try envelope.open(handles, &session, &scratch)
            try envelope.rewrapInside(handles, &session, &scratch)
            return try envelope.open(handles, &session, &scratch) == digest
                ? nil : "rewrapped inside, a data key is another one than before"
        } catch {
            return "a data key made inside does not open: \(error)"
        }
    }

    // Nobody's secret.
    private static func plaintext(_ length: Int) -> [UInt8] {
        (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ length) }
    }

    /// - Returns: why an envelope does not open as what it was, which is as bad with any code; nil when it does.
    private mutating func loss(
        of envelope: [UInt8], _ length: Int, _ handles: SuiteHandles
    ) throws(CryptokiError) -> String? {
        do throws(OpenFailure) {
            return try open(envelope, handles) == Doctor.plaintext(length) ? nil : "another plaintext"
        } catch {
            switch error {
            case .forged: return "it is taken for forged"
            case .token(let cause):
                // Unless nothing at all is answered any more.
                _ = try session.info()
                return cause.description
            }
        }
    }

    private mutating func seal(_ plaintext: [UInt8], _ handles: SuiteHandles) throws(CryptokiError) -> [UInt8] {
        let context = Context.empty
        var envelope = [UInt8](repeating: 0, count: Envelope.length(handles.suite, plaintext: plaintext.count))
        let outcome = envelope.withUnsafeMutableBytes { output in
            Result { () throws(CryptokiError) in
                try SuiteCipher.seal(
                    .given(count: plaintext.count, copy: { $0.copyBytes(from: plaintext) }), label: .knownAnswer,
                    header: ScratchEnvelope.header(handles.suite), context: context.span.bytes, handles: handles,
                    session: &session,
                    scratch: &scratch, into: output)
            }
        }
        _ = try outcome.get()
        return envelope
    }

    private mutating func open(
        _ bytes: [UInt8], _ handles: SuiteHandles, header: [UInt8]? = nil
    ) throws(OpenFailure) -> [UInt8] {
        let context = Context.empty
        guard let envelope = try? Envelope(bytes.span.bytes) else { throw .forged }
        return try SuiteCipher.open(
            envelope, of: bytes.span.bytes, label: .knownAnswer, header: header ?? ScratchEnvelope.header(handles.suite),
            context: context.span.bytes, handles: handles, session: &session, scratch: &scratch
        ) { Array($0) }
    }

    /// - Returns: nil when the forgery opens; else what is peculiar to the refusal, or nothing.
    private mutating func refusesForgery(_ handles: SuiteHandles) throws(CryptokiError) -> String? {
        let whole = try seal([UInt8](repeating: 3, count: 32), handles)
        var peculiar = ""
        // A bit of what follows the header, of the middle, of the tag.
        for place in [Envelope.headerLength + 1, whole.count / 2, whole.count - 1] {
            var envelope = whole
            envelope[place] ^= 1
            do throws(OpenFailure) {
                _ = try open(envelope, handles)
                return nil
            } catch {
                guard case .token(let cause) = error, let value = cause.returnValue else { continue }
                switch value {
                case .encryptedDataInvalid, .encryptedDataLengthRange, .aeadDecryptFailed: break
                case _: peculiar = "a forged envelope gives \(value), which can mean a fault too: the daemon asks again to tell"
                }
            }
        }
        let other = Envelope.header(suite: handles.suite, keyID: KeyID(high: 1, low: 2), version: 2)
        guard (try? open(whole, handles, header: other)) == nil else { return nil }
        return peculiar
    }
}
