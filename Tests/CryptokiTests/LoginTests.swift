import Cryptoki
import Glibc
import Support
import Testing

/// Logins and C_Initialize belong to the process, so each of these tests has one of its own.
@Suite struct LoginTests {
    @Test func rightAndWrongPINs() async {
        await #expect(processExitsWith: .success) {
            let token = try SoftToken.shared()
            let pin = token.userPIN
            let wrong = Array("not-the-pin".utf8)
            let info = { try token.module.tokenInfo(token.slot) }
            var session = try token.openSession()
            #expect(
                caught { () throws(CryptokiError) in try session.login(.user, pin: pin.span.bytes) }
                    == .failed(.login, .userAlreadyLoggedIn))
            try session.logout()
            #expect(
                caught { () throws(CryptokiError) in try session.login(.user, pin: wrong.span.bytes) }
                    == .failed(.login, .pinIncorrect))
            #expect(try info().flags.contains(.userPINCountLow))
            let empty = caught { () throws(CryptokiError) in try session.login(.user, pin: RawSpan()) }
            #expect(empty != nil && empty != .failed(.login, .argumentsBad))
            let state = try session.info().state
            #expect(state == .readWritePublic)
            try session.login(.user, pin: pin.span.bytes)
            #expect(try !info().flags.contains(.userPINCountLow))
            let after = try session.info().state
            #expect(after == .readWriteUser)
            exit(EXIT_SUCCESS)
        }
    }

    @Test func pinsCanBeChangedAndMayBeAnyBytes() async {
        await #expect(processExitsWith: .success) {
            let token = try SoftToken.shared()
            let old = token.userPIN
            let officer = token.soPIN
            let binary: [UInt8] = [0x00, 0xff, 0x20, 0xc3, 0xa4, 0x00, 0x7f]
            var session = try token.openSession()
            try session.setPIN(old: old.span.bytes, new: binary.span.bytes)
            try session.logout()
            #expect(
                caught { () throws(CryptokiError) in try session.login(.user, pin: old.span.bytes) }
                    == .failed(.login, .pinIncorrect))
            try session.login(.user, pin: binary.span.bytes)
            try session.logout()
            try session.login(.securityOfficer, pin: officer.span.bytes)
            let state = try session.info().state
            #expect(state == .readWriteSecurityOfficer)
            try session.initializePIN(old.span.bytes)
            try session.logout()
            try session.login(.user, pin: old.span.bytes)
            exit(EXIT_SUCCESS)
        }
    }

    @Test func needsInitialisingAndCanBeDoneAgain() async {
        await #expect(processExitsWith: .success) {
            let store = try SoftTokenStore()
            try store.createToken(label: "outside", userPIN: "1234567", soPIN: "7654321")
            SoftToken.activate(store)
            let module = try Module(path: try SoftToken.modulePath())
            #expect(
                caught { () throws(CryptokiError) in _ = try module.slots(withToken: true) }
                    == .failed(.getSlotList, .cryptokiNotInitialized))
            for _ in 0..<3 {
                try module.initialize()
                let slot = try TokenURI("pkcs11:token=outside").select(in: module)
                var session = try module.openSession(slot, readWrite: false)
                let pin = Array("1234567".utf8)
                try session.login(.user, pin: pin.span.bytes)
                let state = try session.info().state
                #expect(state == .readOnlyUser)
                try session.close()
                try module.finalize()
            }
            exit(EXIT_SUCCESS)
        }
    }

    @Test func aMissingConfigurationIsAnErrorOfInitialize() async {
        await #expect(processExitsWith: .success) {
            setenv("SOFTHSM2_CONF", "/nonexistent/softhsm2.conf", 1)
            let module = try Module(path: try SoftToken.modulePath())
            #expect(caught { () throws(CryptokiError) in try module.initialize() } == .failed(.initialize, .generalError))
            exit(EXIT_SUCCESS)
        }
    }

    @Test func theStoreGoesWithTheProcess() throws {
        var directory = ""
        do {
            let store = try SoftTokenStore()
            directory = store.directory
            try store.createToken(label: "gone", userPIN: "1234567", soPIN: "7654321")
            #expect(access(directory, F_OK) == 0)
        }
        #expect(access(directory, F_OK) == -1)
    }
}
