import ClavigerWire
import Cryptoki
import Glibc

/// Why the token cannot be used, and whether time alone may mend it.
package enum TokenFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The token or module does not answer; trying again may help.
    case lost(String)
    /// Somebody has to do something first.
    case needsOperator(String)
    /// The token answers, and is not ours or not whole. Somebody has to do something, unless the right one is being put back: so it
    /// is looked at again now and then, which costs no PIN.
    case notOurs(String)
    /// There is no PIN; somebody has to present it.
    case sealed(String)

    /// The database failed. What a full disk or a lock refuses now may succeed later; a damaged file will not.
    init(_ error: StoreError) {
        switch error {
        case .failed, .overtaken, .changedOutside, .unsigned: self = .lost(error.description)
        case .missing, .unreadable, .newer, .corrupt: self = .needsOperator(error.description)
        }
    }

    /// A file failed while the token was taken hold of. What lacks room or descriptors now may succeed later, and what is not there
    /// may be put back.
    init(_ error: FileError, _ what: String? = nil) {
        let reason = (what.map { "\($0): " } ?? "") + error.description
        switch error.code {
        case ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, EIO, ENOENT, ESTALE: self = .lost(reason)
        case _: self = .needsOperator(reason)
        }
    }

    package var description: String {
        switch self {
        case .lost(let reason), .needsOperator(let reason), .notOurs(let reason), .sealed(let reason): reason
        }
    }

    /// Whether the token is tried again though nobody has done anything, and how soon.
    var retry: Supervision.Retry? {
        switch self {
        case .lost: .soon
        case .notOurs: .nowAndThen
        case .needsOperator, .sealed: nil
        }
    }

    package var state: DaemonState {
        switch self {
        case .lost: .lost
        case .needsOperator, .notOurs: .needsOperator
        case .sealed: .sealed
        }
    }
}

extension CryptokiError {
    /// Whether the error says by itself that session, login, handle or token are gone. Every other one is ambiguous: a forged
    /// envelope and a lost token can give the same code.
    var meansLost: Bool {
        switch returnValue {
        case .deviceRemoved?, .tokenNotPresent?, .sessionHandleInvalid?, .sessionClosed?, .userNotLoggedIn?,
            .cryptokiNotInitialized?, .keyHandleInvalid?, .objectHandleInvalid?, .deviceError?:
            true
        case _: false
        }
    }

    /// Whether the error says that this session is gone, and nothing of the others.
    var meansDeadSession: Bool { returnValue == .sessionHandleInvalid || returnValue == .sessionClosed }

    /// Whether the error speaks of the device or the host, and so never of the ciphertext.
    var meansDevice: Bool {
        if meansLost { return true }
        switch returnValue {
        case .deviceMemory?, .hostMemory?: return true
        case _: return false
        }
    }

    /// Whether the error says that the token does not do this at all, now or later.
    var meansUnsupported: Bool {
        switch returnValue {
        case .templateIncomplete?, .templateInconsistent?, .attributeTypeInvalid?, .attributeValueInvalid?, .attributeReadOnly?,
            .functionNotSupported?, .actionProhibited?, .tokenWriteProtected?, .sessionReadOnly?:
            true
        case _: false
        }
    }

    /// Whether the error says by itself that the ciphertext is bad.
    var meansBadCiphertext: Bool {
        switch returnValue {
        case .encryptedDataInvalid?, .encryptedDataLengthRange?, .aeadDecryptFailed?: true
        case _: false
        }
    }
}
