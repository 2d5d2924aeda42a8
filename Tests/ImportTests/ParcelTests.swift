import COpenSSL
import ClavigerImport
import ClavigerWire
import Foundation
import Support
import Testing

@Suite struct ParcelTests {
    static let token = ImportTokenID(high: 0x0102_0304_0506_4708, low: 0x890a_0b0c_0d0e_0f10)
    static let key = KeyID(high: 0xa1a2_a3a4_a5a6_47a8, low: 0x89aa_abac_adae_afb0)
    static let nonce = (1...12).map { UInt8($0) }

    private static func parcel(
        _ material: [UInt8], _ publicKey: [UInt8], _ digest: OAEPDigest = .sha256, nonce: [UInt8] = nonce
    ) throws(ImportError) -> ImportParcel {
        try ImportParcel(
            material: material.span.bytes, publicKey: publicKey.span.bytes, digest: digest, nonce: nonce.span.bytes,
            token: token, key: key)
    }

    private static func material(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(0x40 + $0) } }

    private func refusal(_ material: [UInt8], _ publicKey: [UInt8], nonce: [UInt8] = nonce) -> ImportError? {
        do throws(ImportError) {
            _ = try ParcelTests.parcel(material, publicKey, nonce: nonce)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [16, 24, 32], OAEPDigest.allCases)
    func theTokenGetsTheMaterialAndOnlyUnderTheDigest(count: Int, digest: OAEPDigest) throws {
        let pair = try RSAOracle.shared.get()
        let parcel = try ParcelTests.parcel(ParcelTests.material(count), pair.der, digest)
        #expect(parcel.bits == UInt32(count * 8))
        #expect(parcel.proof.count == ImportProof.byteCount)
        let digests = [OAEPDigest.sha1: EVP_sha1(), .sha256: EVP_sha256()]
        for (other, function) in digests {
            let opened = pair.decrypt(parcel.encryptedPayload, function)
            #expect(opened == (other == digest ? ParcelTests.material(count) : nil))
        }
    }

    @Test(arguments: [0, 1, 8, 15, 17, 20, 23, 25, 31, 33, 40, 64])
    func otherLengthsAreNoAESKey(count: Int) throws {
        let pair = try RSAOracle.shared.get()
        #expect(refusal(ParcelTests.material(count), pair.der) == .keyLength(count))
    }

    @Test func noncesHaveOneLength() throws {
        let pair = try RSAOracle.shared.get()
        for count in [0, 11, 13, 16] {
            let nonce = [UInt8](repeating: 1, count: count)
            #expect(refusal(ParcelTests.material(32), pair.der, nonce: nonce) == .nonceLength(count))
        }
    }

    @Test func twoParcelsOfOneKeyShareNothing() throws {
        let pair = try RSAOracle.shared.get()
        let first = try ParcelTests.parcel(ParcelTests.material(32), pair.der)
        let second = try ParcelTests.parcel(ParcelTests.material(32), pair.der)
        #expect(first.encryptedPayload != second.encryptedPayload)
        #expect(first.proof.prefix(12) != second.proof.prefix(12))
    }

    /// Another implementation, in another language, reads what is sent as the protocol page says.
    @Test func pythonReadsParcels() throws {
        guard python(["-c", "import cryptography"])?.status == 0 else {
            return skip("import parcels read by another implementation", "python3 has no cryptography package")
        }
        let script = """
            import sys
            from cryptography.hazmat.primitives import hashes, serialization
            from cryptography.hazmat.primitives.asymmetric import padding, rsa
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            if sys.argv[1] == "make":
                key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
                der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
                private = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
                print(private.hex(), der.hex())
                sys.exit(0)
            private, digest, payload, proof, token, key_id, nonce, material = sys.argv[2:]
            hash = {"SHA-1": hashes.SHA1, "SHA-256": hashes.SHA256}[digest]
            key = serialization.load_der_private_key(bytes.fromhex(private), None)
            got = key.decrypt(bytes.fromhex(payload), padding.OAEP(padding.MGF1(hash()), hash(), None))
            assert got == bytes.fromhex(material), got.hex()
            proof = bytes.fromhex(proof)
            aad = b"claviger/import/1\\0" + bytes.fromhex(token) + bytes.fromhex(key_id) + (len(got) * 8).to_bytes(4, "big")
            assert AESGCM(got).decrypt(proof[:12], proof[12:], aad) == bytes.fromhex(nonce)
            """
        let made = try #require(python(["-c", script, "make"]))
        #expect(made.status == 0, "\(made.output)")
        let keys = made.output.split(whereSeparator: \.isWhitespace).map(String.init)
        try #require(keys.count == 2)
        for digest in OAEPDigest.allCases {
            for count in [16, 24, 32] {
                let parcel = try ParcelTests.parcel(ParcelTests.material(count), hexadecimal(keys[1]), digest)
                let fields = [
                    parcel.encryptedPayload, parcel.proof, ParcelTests.token.bytes, ParcelTests.key.bytes, ParcelTests.nonce,
                    ParcelTests.material(count),
                ].map(hexadecimal)
                let run = try #require(python(["-c", script, "check", keys[0], digest.name] + fields))
                #expect(run.status == 0, "\(digest) \(count): \(run.output)")
            }
        }
    }

    private func python(_ arguments: [String]) -> (status: Int32, output: String)? {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-B"] + arguments
        process.standardOutput = pipe
        process.standardError = pipe
        do { try process.run() } catch { return nil }
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    private func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    private func hexadecimal(_ text: String) -> [UInt8] {
        let digits = text.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
