#pragma once
// libcrypto: digests, constant-time comparison, and the test oracle for what the token computes.
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
