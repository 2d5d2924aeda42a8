import CCryptoki
import Synchronization
import Testing

@testable import Cryptoki

/// What modules do that SoftHSM does not.
@Suite struct ScriptedModuleTests {
    private let key = ObjectHandle(rawValue: 1)

    @Test func functionsLeftOutAreNotSupported() throws {
        let scripted = ScriptedModule { _ in }
        #expect(
            caught { () throws(CryptokiError) in try scripted.module.initialize() } == .failed(.initialize, .functionNotSupported)
        )
        #expect(caught { () throws(CryptokiError) in _ = try scripted.module.info() } == .failed(.getInfo, .functionNotSupported))
        var session = scripted.session(1)
        #expect(sign(&session, capacity: 32) == .failed(.signInit, .functionNotSupported))
        let verify = caught { () throws(CryptokiError) in
            _ = try session.verify(.hmacSHA256, key: key, data: RawSpan(), signature: RawSpan())
        }
        #expect(verify == .failed(.verifyInit, .functionNotSupported))
        #expect(caught { () throws(CryptokiError) in try session.logout() } == .failed(.logout, .functionNotSupported))
    }

    @Test func aResultLongerThanTheBufferIsMalformed() throws {
        let scripted = ScriptedModule {
            $0.C_SignInit = { _, _, _ in 0 }
            $0.C_Sign = { _, _, _, _, length in
                length?.pointee += 1
                return 0
            }
        }
        var session = scripted.session(2)
        #expect(sign(&session, capacity: 32) == .malformedReply(.sign))
    }

    @Test func anOperationLeftActiveIsRunToItsEnd() throws {
        let scripted = ScriptedModule {
            $0.C_SignInit = { session, _, _ in
                var result: CK_RV = 0
                ScriptedModule.count(session) { calls in
                    calls.begun += 1
                    if calls.active { result = ReturnValue.operationActive.rawValue }
                    calls.active = true
                }
                return result
            }
            // Does not update the length when it says that the buffer is too small.
            $0.C_Sign = { session, _, _, output, length in
                var result: CK_RV = 0
                let capacity = length?.pointee ?? 0
                ScriptedModule.count(session) { calls in
                    calls.operated += 1
                    if capacity < 100 { result = ReturnValue.bufferTooSmall.rawValue } else { calls.active = false }
                }
                if result == 0 { length?.pointee = 100 }
                return result
            }
        }
        var session = scripted.session(3)
        #expect(sign(&session, capacity: 99) == .failed(.sign, .bufferTooSmall))
        #expect(sign(&session, capacity: 0) == .failed(.sign, .bufferTooSmall))
        #expect(sign(&session, capacity: 100) == nil)
        let calls = ScriptedModule.calls.withLock { $0[3] }
        #expect(calls?.begun == 3 && calls?.operated == 5 && calls?.active == false)
    }

    @Test func plaintextWrittenBeforeAFailedCheckIsWiped() throws {
        let scripted = ScriptedModule {
            $0.C_DecryptInit = { _, _, _ in 0 }
            $0.C_Decrypt = { _, _, _, output, length in
                output?.update(repeating: 0x5a, count: Int(length?.pointee ?? 0))
                return ReturnValue.encryptedDataInvalid.rawValue
            }
        }
        var session = scripted.session(4)
        var buffer = [UInt8](repeating: 0xaa, count: 64)
        let ciphertext = [UInt8](repeating: 0, count: 48)
        let error = buffer.withUnsafeMutableBytes { output in
            caught { () throws(CryptokiError) in
                _ = try session.decrypt(.aesKeyWrap, key: key, ciphertext: ciphertext.span.bytes, into: output)
            }
        }
        #expect(error == .failed(.decrypt, .encryptedDataInvalid))
        #expect(buffer.allSatisfy { $0 == 0 })
    }

    @Test func modulesNeverSeeNullForEmptyData() throws {
        let scripted = ScriptedModule {
            $0.C_EncryptInit = { _, _, _ in 0 }
            $0.C_Encrypt = { _, input, _, output, length in
                length?.pointee = 0
                return input == nil || output == nil ? ReturnValue.argumentsBad.rawValue : 0
            }
        }
        var session = scripted.session(5)
        let written = try session.encrypt(
            .aesKeyWrap, key: key, plaintext: RawSpan(), into: UnsafeMutableRawBufferPointer(start: nil, count: 0))
        #expect(written == 0)
    }

    @Test func gcmParametersAreThoseOfVersion240() throws {
        let scripted = ScriptedModule {
            $0.C_EncryptInit = { _, mechanism, _ in
                guard let mechanism = mechanism?.pointee, mechanism.mechanism == UInt(CKM_AES_GCM),
                    mechanism.ulParameterLen == UInt(MemoryLayout<CK_GCM_PARAMS>.size),
                    let parameters = mechanism.pParameter?.load(as: CK_GCM_PARAMS.self),
                    parameters.ulIvLen == 12, parameters.ulIvBits == 96, parameters.pIv[11] == 7,
                    parameters.ulAADLen == 3, parameters.pAAD[2] == 9, parameters.ulTagBits == 120
                else { return ReturnValue.mechanismParameterInvalid.rawValue }
                return 0
            }
            $0.C_Encrypt = { _, _, _, _, _ in 0 }
        }
        var session = scripted.session(8)
        let iv = [UInt8](repeating: 7, count: 12)
        let aad = [UInt8](repeating: 9, count: 3)
        let sealed = try filled(15) { (output) throws(CryptokiError) in
            try session.encrypt(
                .aesGCM(iv: iv.span.bytes, additionalData: aad.span.bytes, tagBits: 120), key: key, plaintext: RawSpan(),
                into: output)
        }
        #expect(sealed.count == 15)
    }

    @Test func absurdListsAndHandlesAreMalformed() throws {
        let absurd = ScriptedModule {
            $0.C_GetSlotList = { _, _, count in
                count?.pointee = 1 << 40
                return 0
            }
            $0.C_OpenSession = { _, _, _, _, session in
                session?.pointee = 0
                return 0
            }
            $0.C_GenerateKey = { _, _, _, _, _ in 0 }
            $0.C_FindObjectsInit = { _, _, _ in 0 }
            $0.C_FindObjects = { _, _, capacity, count in
                count?.pointee = capacity + 1
                return 0
            }
            $0.C_FindObjectsFinal = { _ in 0 }
        }
        let module = absurd.module
        #expect(caught { () throws(CryptokiError) in _ = try module.slots(withToken: true) } == .malformedReply(.getSlotList))
        let opened = caught { () throws(CryptokiError) in _ = try module.openSession(SlotID(rawValue: 0), readWrite: true) }
        #expect(opened == .malformedReply(.openSession))
        var session = absurd.session(6)
        let generated = caught { () throws(CryptokiError) in _ = try session.generateKey(.aesKeyGeneration, []) }
        #expect(generated == .malformedReply(.generateKey))
        let found = caught { () throws(CryptokiError) in _ = try session.findObjects(matching: [], limit: 5) }
        #expect(found == .malformedReply(.findObjects))
    }

    @Test func aListThatGrowsIsAskedForAgain() throws {
        let growing = ScriptedModule {
            $0.C_GetSlotList = { _, list, count in
                // The first reading finds one slot more than was announced.
                var announced: UInt = 1
                ScriptedModule.count(7) { calls in
                    if list != nil { calls.operated += 1 }
                    announced = calls.operated == 0 ? 1 : 2
                }
                guard let list, let count else {
                    count?.pointee = announced
                    return 0
                }
                guard count.pointee >= 2 else { return ReturnValue.bufferTooSmall.rawValue }
                list[0] = 4
                list[1] = 5
                return 0
            }
        }
        #expect(try growing.module.slots(withToken: false).map(\.rawValue) == [4, 5])
    }

    private func sign(_ session: inout Session, capacity: Int) -> CryptokiError? {
        caught { () throws(CryptokiError) in
            _ = try filled(capacity) { (output) throws(CryptokiError) in
                try session.sign(.hmacSHA256, key: key, data: RawSpan(), into: output)
            }
        }
    }
}
