import ArgumentParser
import ClavigerClient
import ClavigerImport

/// How material gets to the daemon.
struct MaterialOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("How the material stands in the file: raw, hex or base64.", valueName: "encoding"))
    var encoding = MaterialEncoding.raw

    @Flag(help: "Send the material as it is, so that the daemon's memory holds it for a moment.")
    var plain = false

    @Option(
        help: ArgumentHelp(
            "Use this import token ('claviger import-token create') instead of one made for the purpose.", valueName: "id"),
        transform: ImportTokenCommand.id)
    var importToken: ImportTokenID?

    func validate() throws {
        if plain, importToken != nil { throw ValidationError("--plain and --import-token exclude each other") }
    }

    /// Whether anything was said that is for root keys only.
    var isForRootKeys: Bool { plain || importToken != nil || encoding != .raw }
}

/// Brings material into the token by an import token: it leaves this process encrypted, and only the token can decrypt it.
struct KeyShipment {
    let options: GlobalOptions
    /// The import token to use; nil for one that is made for this import.
    let importToken: ImportTokenID?

    /// What a request of the import carries.
    struct Parts {
        var token: ImportTokenID
        var nonce: [UInt8]
        var parcel: ImportParcel
    }

    /// Encrypts the material for `key` and has it sent by `send`.
    ///
    /// - Parameter name: the key, for messages.
    func ship(
        _ material: borrowing SecretBytes, for key: KeyID, name: String,
        _ send: (Client, Parts) throws(ClientError) -> KeyRecord
    ) throws(CommandFailure) -> KeyRecord {
        let client = Client(options.patientOptions)
        defer { client.close() }
        let token = if let importToken { importToken } else { try make(client) }
        do throws(CommandFailure) {
            return try ship(material, for: key, name: name, token, client, send)
        } catch {
            // One that was made for this import is of no use to anybody; it would end by itself, but later.
            if importToken == nil { try? client.deleteImportToken(token) }
            throw error
        }
    }

    private func ship(
        _ material: borrowing SecretBytes, for key: KeyID, name: String, _ token: ImportTokenID, _ client: Client,
        _ send: (Client, Parts) throws(ClientError) -> KeyRecord
    ) throws(CommandFailure) -> KeyRecord {
        let parts = try parts(material, for: key, token, client)
        do throws(ClientError) { return try send(client, parts) } catch { throw CommandFailure(error, key: name) }
    }

    private func make(_ client: Client) throws(CommandFailure) -> ImportTokenID {
        if StandardError.isTerminal { StandardError.note("the token makes an RSA key for this import, which can take a while") }
        do throws(ClientError) {
            return try client.createImportToken(ttl: Limits.minimumImportTokenLife, uses: 1).id
        } catch {
            throw CommandFailure(error, key: nil)
        }
    }

    private func parts(
        _ material: borrowing SecretBytes, for key: KeyID, _ token: ImportTokenID, _ client: Client
    ) throws(CommandFailure) -> Parts {
        let taken: ImportTokenTakeReply
        do throws(ClientError) { taken = try client.takeImportToken(token) } catch { throw CommandFailure(error, key: nil) }
        do throws(ImportError) {
            let (publicKey, nonce) = (taken.publicKey, taken.nonce)
            let parcel = try ImportParcel(
                material: material.bytes, publicKey: publicKey.span.bytes, digest: taken.oaep, nonce: nonce.span.bytes,
                token: taken.id, key: key)
            return Parts(token: taken.id, nonce: nonce, parcel: parcel)
        } catch {
            throw .failed("\(error)")
        }
    }
}

extension KeyCreateRequest {
    /// Puts an import's parts into the request.
    mutating func fill(_ parts: KeyShipment.Parts, key: KeyID) {
        importToken = parts.token
        encryptedPayload = parts.parcel.encryptedPayload
        proof = parts.parcel.proof
        bits = parts.parcel.bits
        nonce = parts.nonce
        keyID = key
    }
}

extension KeyRotateRequest {
    /// Puts an import's parts into the request.
    mutating func fill(_ parts: KeyShipment.Parts) {
        importToken = parts.token
        encryptedPayload = parts.parcel.encryptedPayload
        proof = parts.parcel.proof
        bits = parts.parcel.bits
        nonce = parts.nonce
    }
}
