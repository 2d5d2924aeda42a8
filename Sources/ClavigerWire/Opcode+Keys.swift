// The opcode table: keys.
extension OpcodeEntry {
    /// What is recorded of a list or count of keys: what it was of.
    static let keyFilter = ["ring", "states", "kind", "search", "filter"]

    static let keyCount = OpcodeEntry(
        name: "key-count", summary: "Counts keys.", permission: .readKeys, isInstanceWide: false, retry: .always,
        isManagement: true, usesToken: true, recorded: keyFilter,
        request: Schema.keyCountRequest, reply: Schema.keyCountReply)

    static let keyRead = OpcodeEntry(
        name: "key-read", summary: "Returns what a standard key keeps.", permission: .readSecrets, isInstanceWide: false,
        retry: .always, usesToken: true, keyStates: KeyAction.read.states, recorded: ["version"],
        request: Schema.keyReadRequest, reply: Schema.keyReadReply)

    static let keyUpdate = OpcodeEntry(
        name: "key-update", summary: "Changes a key's name, description, tags or expiry.", permission: .updateKeys,
        isInstanceWide: false,
        retry: .withOperationID, isManagement: true, keyStates: KeyAction.update.states,
        recorded: ["operation", "revision", "name", "description", "tags", "expires-ms"], request: Schema.keyUpdateRequest,
        reply: Schema.key)

    static let keyDisable = OpcodeEntry(
        name: "key-disable", summary: "Suspends a key: nothing is wrapped or unwrapped until it is enabled.",
        permission: .disableKeys, isInstanceWide: false, retry: .withOperationID, isManagement: true,
        keyStates: KeyAction.disable.states,
        recorded: ["operation", "reason"], request: Schema.keyChangeRequest, reply: Schema.key)

    static let keyEnable = OpcodeEntry(
        name: "key-enable", summary: "Makes a suspended key active again.", permission: .disableKeys, isInstanceWide: false,
        retry: .withOperationID,
        isManagement: true, keyStates: KeyAction.enable.states, recorded: ["operation", "reason"],
        request: Schema.keyChangeRequest, reply: Schema.key)

    static let keyDelete = OpcodeEntry(
        name: "key-delete", summary: "Deletes a key, or says what that would do.", permission: .deleteKeys, isInstanceWide: false,
        retry: .withOperationID, isManagement: true, keyStates: KeyAction.delete.states,
        recorded: ["operation", "force", "dry-run"], request: Schema.keyDeleteRequest, reply: Schema.keyDeleteReply)

    static let keyRestore = OpcodeEntry(
        name: "key-restore", summary: "Gives a deleted key back the state that it had.", permission: .restoreKeys,
        isInstanceWide: false,
        retry: .withOperationID, isManagement: true, keyStates: KeyAction.restore.states,
        recorded: ["operation", "reason"],
        request: Schema.keyChangeRequest, reply: Schema.key)

    static let keyPurge = OpcodeEntry(
        name: "key-purge", summary: "Removes a deleted key for good.", permission: .purgeKeys, isInstanceWide: false,
        retry: .withOperationID,
        isManagement: true, keyStates: KeyAction.purge.states, recorded: ["operation", "reason"],
        request: Schema.keyChangeRequest, reply: Schema.keyPurgeReply)

    static let keyMove = OpcodeEntry(
        name: "key-move", summary: "Moves a key to another ring; needs the permission on the key and on that ring.",
        permission: .moveKeys, isInstanceWide: false, retry: .withOperationID, isManagement: true,
        keyStates: KeyAction.move.states, recorded: ["operation", "ring"], request: Schema.keyMoveRequest,
        reply: Schema.key)

    static let keyCensus = OpcodeEntry(
        name: "key-census",
        summary: "Says how often each version of a key was used and when last, newest first, a page at a time.",
        permission: .readKeys, isInstanceWide: false, retry: .always, isManagement: true, usesToken: true,
        request: Schema.keyVersionsRequest,
        reply: Schema.keyCensusReply)

    static let versionRetire = OpcodeEntry(
        name: "version-retire", summary: "Retires a version, whose envelopes are then refused, or takes that back.",
        permission: .disableKeys, isInstanceWide: false, retry: .withOperationID, isManagement: true,
        keyStates: KeyAction.retireVersion.states, recorded: ["operation", "version", "undo"],
        request: Schema.versionRetireRequest, reply: Schema.version)

    static let versionDestroy = OpcodeEntry(
        name: "version-destroy", summary: "Destroys the material of a retired version for good.", permission: .purgeKeys,
        isInstanceWide: false,
        retry: .withOperationID, isManagement: true, keyStates: KeyAction.destroyVersion.states,
        recorded: ["operation", "version"], request: Schema.versionDestroyRequest, reply: Schema.version)
}
