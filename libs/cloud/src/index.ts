export type { AttestationFault, AttestationVerdict, AttestedMachine } from './attestation/attestation.ts';
export { verifyAwsIdentity, type AwsIdentityOptions } from './attestation/aws-iid.ts';
export { verifyAzureAttested, type AzureAttestedOptions } from './attestation/azure-imds.ts';
export { reviewServiceAccountToken, verifyServiceAccountToken, type ServiceAccountOptions, type TokenReviewOptions } from './attestation/k8s-sat.ts';
