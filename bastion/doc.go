// Package bastion is the vocabulary of Sallyport and the one path on which
// everything a person does to a target travels.
//
// A connector reads a person's text into an [Operation]. [Session.Run] takes
// the operation through policy, record, approval and permit to the target, and
// brings the answer back through the mask. What a person sees leaves through a
// [Terminal], which records before it shows. The types leave no other way: only
// this package makes an Operation, a [Permit], a [Sink] or a [Frame].
package bastion
