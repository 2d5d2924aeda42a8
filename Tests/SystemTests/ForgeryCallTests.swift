import ClavigerClient
import ClavigerWire
import Support
import Testing

/// What the token is asked while a forged envelope is refused: the same, whatever is wrong with it.
@Suite struct ForgeryCallTests {
    /// Suites 2 and 3: the MAC is computed, and nothing is decrypted, whatever part of the envelope or context was changed.
    @Test(arguments: [Suite.aesCBCWithHMAC, .aesKeyWrapWithHMAC]) func nothingIsDecryptedBeforeTheMACFits(suite: Suite) throws {
        let daemon = try DaemonHarness()
        let faults = try daemon.useFaultModule()
        try daemon.start()
        let client = daemon.client()
        let key = try client.createKey(name: "watched") { $0.suite = suite }
        let plaintext = [UInt8](repeating: 3, count: 48)
        let envelope = try client.wrap(.id(key.id), plaintext, ["a"]).envelope
        func calls(_ envelope: [UInt8], _ context: [String]) throws -> [String] {
            let before = try faults.calls().count
            _ = try? client.open(envelope, context)
            return try faults.calls().dropFirst(before).filter(isOfRequest).map(\.function)
        }
        var sequences: Set<[String]> = []
        // From the byte behind the header on: a changed header names another key, version or suite.
        for index in [envelope.count - 1, envelope.count - 32, envelope.count - 33, 60, 43, 27] {
            var forged = envelope
            forged[index] ^= 0x80
            sequences.insert(try calls(forged, ["a"]))
        }
        sequences.insert(try calls(envelope, ["b"]))
        sequences.insert(try calls(envelope, []))
        #expect(sequences == [["C_SignInit", "C_Sign"]])
        // What is whole is decrypted, behind the same two calls.
        let whole = try calls(envelope, ["a"])
        #expect(whole.starts(with: ["C_SignInit", "C_Sign"]) && whole.count > 2, "\(whole)")
        #expect(try client.open(envelope, ["a"]) == plaintext)
    }
}
