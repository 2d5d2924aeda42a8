// The fields of policies, settings and approvals.
extension Schema {
    /// What policy-set changes and policy-show shows.
    public static let policyValues: [FieldEntry] = [
        FieldEntry(4, "rotation-enabled", flag, required: false, "1 when keys are rotated by policy."),
        FieldEntry(5, "rotation-months", rotationMonths, required: false, "Every so many months; 0 for none."),
        FieldEntry(
            6, "dual-control", dualControl, required: false, "The actions that need a second person: \(DualControl.meaning)."),
        FieldEntry(7, "dual-control-enabled", flag, required: false, "Instance: 1 when new keys take this over."),
        FieldEntry(8, "access-enabled", flag, required: false, "Instance: 1 when the rules on creating and importing hold."),
        FieldEntry(9, "create-root", flag, required: false, "Instance: 1 when root keys may be created."),
        FieldEntry(10, "create-standard", flag, required: false, "Instance: 1 when standard keys may be created."),
        FieldEntry(11, "import-root", flag, required: false, "Instance: 1 when root keys may be imported."),
        FieldEntry(12, "import-standard", flag, required: false, "Instance: 1 when standard keys may be imported."),
        FieldEntry(
            13, "enforce-token", flag, required: false, "Instance: 1 when keys may be imported with an import token only."),
        FieldEntry(14, "metrics-enabled", flag, required: false, "Instance: 1 when metrics of requests are kept."),
    ]

    /// The body of a request of policy-show.
    public static let policyShowRequest: [FieldEntry] = [
        FieldEntry(1, "key", keyText, required: false, "The key; absent: the instance.")
    ]

    /// The body of a request of policy-set.
    public static let policySetRequest: [FieldEntry] =
        [
            FieldEntry(1, "key", keyText, required: false, "The key; absent: the instance."),
            operation(2),
            FieldEntry(
                3, "revision", .u64, required: false, "The revision that the change is meant for; absent: whichever it is."),
        ] + policyValues

    /// The body of the reply to policy-show and policy-set.
    public static let policyReply: [FieldEntry] =
        [
            FieldEntry(1, "key", .id, required: false, "The key's id; absent: the instance's policies."),
            FieldEntry(3, "revision", .u64, "Rises with every change."),
        ] + policyValues + [
            FieldEntry(15, "updated-ms", .u64, required: false, "When a policy was last changed."),
            FieldEntry(16, "updated-by", anyMessage, required: false, "Who changed it."),
        ]

    /// One setting.
    public static let settingRecord: [FieldEntry] = [
        FieldEntry(1, "name", anyMessage, "Its name."),
        FieldEntry(2, "value", .u64, "Its value."),
        FieldEntry(3, "default", .u64, "Its value when nobody has set it."),
        FieldEntry(4, "least", .u64, "The least value."),
        FieldEntry(5, "most", .u64, "The greatest value."),
        FieldEntry(6, "unit", anyMessage, "The value's unit: `s` for seconds, empty for a count."),
        FieldEntry(7, "meaning", anyMessage, "What it decides."),
        FieldEntry(8, "updated-ms", .u64, required: false, "When it was set."),
        FieldEntry(9, "updated-by", anyMessage, required: false, "Who set it."),
    ]

    /// The body of the reply to settings-show.
    public static let settingsReply: [FieldEntry] = [
        FieldEntry(1, "settings", .list(0...Limits.maximumSettings, settingRecord), "All settings.")
    ]

    /// The body of a request of settings-set.
    public static let settingSetRequest: [FieldEntry] = [
        FieldEntry(1, "name", .text(1...Limits.maximumName), "The setting's name."),
        operation(2),
        FieldEntry(3, "value", .u64, "The new value."),
    ]

    /// One request for what needs a second person.
    public static let approvalRecord: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The id of what was asked for."),
        FieldEntry(2, "action", .u8(1...5), "1 delete, 2 purge, 3 disable, 4 restore, 5 policy."),
        FieldEntry(3, "key", .id, required: false, "The key; absent: the instance."),
        FieldEntry(4, "key-name", anyMessage, required: false, "The key's name."),
        FieldEntry(5, "reason", anyMessage, "Why it was asked for; empty when nothing was said."),
        FieldEntry(6, "requester", anyMessage, "Who asked."),
        FieldEntry(7, "requester-uid", anyU32, "The uid of who asked."),
        FieldEntry(8, "created-ms", .u64, "When it was asked for."),
        FieldEntry(9, "expires-ms", .u64, "When it expires unless it is decided before."),
        FieldEntry(10, "state", .u8(0...3), "0 open, 1 approved, 2 cancelled, 3 expired."),
        FieldEntry(11, "approver", anyMessage, required: false, "Who decided."),
        FieldEntry(12, "approver-uid", anyU32, required: false, "The uid of who decided."),
        FieldEntry(13, "decided-ms", .u64, required: false, "When it was decided."),
        FieldEntry(14, "force", mark, required: false, "1: deletes the key though resources are registered with it."),
        FieldEntry(
            15, "body", .bytes(1...Limits.maximumApprovalBody), required: false,
            "A change of policies: the body of the policy-set request to be carried out."),
    ]

    /// The body of a request of approval-request.
    public static let approvalRequest: [FieldEntry] = [
        FieldEntry(1, "action", .u8(1...5), "1 delete, 2 purge, 3 disable, 4 restore, 5 policy."),
        operation(2),
        FieldEntry(3, "key", keyText, required: false, "The key; absent: the instance."),
        FieldEntry(4, "reason", .text(Limits.minimumReason...Limits.maximumReason), required: false, "Why, for the record."),
        FieldEntry(
            5, "body", .bytes(1...Limits.maximumApprovalBody), required: false,
            "A change of policies: the body of the policy-set request to be carried out."),
        FieldEntry(6, "force", mark, required: false, "1: delete the key though resources are registered with it."),
    ]

    /// The body of a request of approval-list.
    public static let approvalListRequest: [FieldEntry] = [
        FieldEntry(1, "limit", pageLimit, required: false, "How many at most; \(Limits.defaultPage) when absent."),
        FieldEntry(2, "cursor", cursorBytes, required: false, "`next` of the page before; absent for the first."),
        FieldEntry(3, "all", mark, required: false, "1: what is decided or expired too."),
    ]

    /// The body of the reply to approval-list.
    public static let approvalListReply: [FieldEntry] = [
        FieldEntry(1, "approvals", .list(0...Limits.maximumPage, approvalRecord), "By creation time."),
        FieldEntry(2, "next", cursorBytes, required: false, "Where the next page begins; absent on the last."),
    ]

    /// The body of a request of approval-approve and approval-cancel.
    public static let approvalDecideRequest: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The id of what was asked for."),
        operation(2),
    ]
}
