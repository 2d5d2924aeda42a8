import ClavigerWire

// Aliases, key rings and registrations.
extension AsyncClient {
    /// Gives a key an alias.
    public func createAlias(_ alias: String, of key: KeyReference) async throws(ClientError) -> KeyRecord {
        try await message(
            OutgoingRequest(.aliasCreate, AliasCreateRequest(key: key, operation: Requests.newOperation(), alias: alias)))
    }

    /// Takes an alias from its key.
    public func deleteAlias(_ alias: String) async throws(ClientError) {
        _ = try await message(
            OutgoingRequest(.aliasDelete, AliasDeleteRequest(alias: alias, operation: Requests.newOperation())),
            as: EmptyMessage.self)
    }

    /// Creates a key ring.
    public func createRing(_ id: String) async throws(ClientError) -> RingRecord {
        try await message(OutgoingRequest(.ringCreate, RingCreateRequest(id: id, operation: Requests.newOperation())))
    }

    /// A page of key rings, by id.
    public func listRings(limit: Int? = nil, cursor: [UInt8]? = nil) async throws(ClientError) -> RingListReply {
        try await message(Requests.page(.ringList, limit, cursor))
    }

    /// Deletes a key ring that holds no keys. With `force` destroyed keys in it move to `default`; returns how many did.
    public func deleteRing(_ id: String, force: Bool = false) async throws(ClientError) -> UInt32 {
        try await message(
            OutgoingRequest(.ringDelete, RingDeleteRequest(id: id, operation: Requests.newOperation(), force: force)),
            as: RingDeleteReply.self
        ).moved
    }

    /// Registers a resource with a key, or changes its registration; what `fill` leaves nil stays as it is.
    public func register(
        _ resource: String, with key: KeyReference, _ fill: (inout RegistrationSetRequest) -> Void = { _ in }
    ) async throws(ClientError) -> RegistrationRecord {
        try await message(
            Requests.filled(
                .registrationSet, RegistrationSetRequest(key: key, operation: Requests.newOperation(), resource: resource), fill))
    }

    /// Ends a registration.
    public func releaseRegistration(_ resource: String, of key: KeyReference) async throws(ClientError) {
        _ = try await message(
            OutgoingRequest(
                .registrationRelease, RegistrationReleaseRequest(key: key, operation: Requests.newOperation(), resource: resource)
            ), as: EmptyMessage.self)
    }

    /// A page of registrations, by key and resource.
    public func listRegistrations(
        _ request: RegistrationListRequest = RegistrationListRequest()
    ) async throws(ClientError) -> RegistrationListReply {
        try await message(OutgoingRequest(.registrationList, request))
    }
}
