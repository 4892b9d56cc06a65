"""Words that rules of lint know: for people, for ordinary pictures, and what dictionaries lack."""

from __future__ import annotations


def _word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: People by sex, age, descent, belief, love, body or lot.
KINDS_OF_PEOPLE = _word_set(
    """
    aboriginal aborigine adolescent africans albino arab arabs asians babies baby beggar
    beggars bisexual blacks boy boys buddhists caucasian caucasians child children
    chinaman christians disabled dwarf dwarfs elderly father female females foreigner
    foreigners gay gays gentleman gentlemen girl girls grandfather grandmother guy guys
    gypsies gypsy handicapped hindus hispanic hispanics homeless homosexual homosexuals
    immigrant immigrants indians intersex jew jews kid kids ladies lady latina latinas
    latino latinos latinx lesbian lesbians male males man men mexicans midget midgets
    migrant migrants minor minors mother muslims negro negroes obese pensioner pensioners
    queer refugee refugees roma sikhs teen teenager teenagers teens toddler toddlers
    transgender transman transsexual transvestite transwoman whites woman women
    """
)
#: What a judgement makes of a person: nobody sees it, and models see it in some groups more often.
JUDGED_PEOPLE = _word_set(
    """
    addict addicts bandit bandits burglar burglars creep creeps criminal criminals crook crooks
    dealer dealers drunkard drunkards extremist extremists felon felons gangster gangsters
    hooligan hooligans junkie junkies murderer murderers pedophile pedophiles pervert perverts
    pimp pimps prostitute prostitutes rapist rapists rioter rioters robber robbers shoplifter
    shoplifters smuggler smugglers suspect suspects terrorist terrorists thief thieves thug thugs
    """
)
#: What may follow a word for people; before a thing, as in "terrorist flag", it is of that thing.
BEHIND_PEOPLE = _word_set(
    """
    and at holding in on pointing robbing running stealing wearing who with
    """
)
#: Beliefs: in a target they find people even before a thing, such as a headscarf.
BELIEFS = _word_set(
    """
    buddhist catholic christian hindu islamic jewish muslim sikh
    """
)
#: Where somebody or something comes from; by itself, as in "an Asian with a bag", it is a person.
ORIGINS = _word_set(
    """
    afghan african african-american american asian chinese european indian iranian israeli
    japanese korean mexican nigerian pakistani palestinian polish russian somali syrian
    turkish
    """
)
#: Words that say of a person what of a thing is only its colour, origin or age.
ADJECTIVES = ORIGINS | _word_set(
    """
    aged bearded black blind brown colored coloured dark-skinned deaf east eastern ethnic
    fat foreign indigenous light-skinned middle native old poor south southeast trans
    underage veiled western wheelchair white yellow young
    """
)
#: What such a word makes a kind of people of.
PERSONS = _word_set(
    """
    adult adults bodies body couple crowd face faces families family human humans
    individual individuals pedestrian people person persons skin user users worker workers
    """
)
#: A context prompt with one of these stands for much of what ordinary pictures show.
BROAD = _word_set(
    """
    animal animals background building city clothing crowd document drink everyday face
    food furniture household indoors interior item items landscape meal nature object
    objects outdoors people person pet pets photo photograph picture plant plants portrait
    product products room scene scenery sky street surface text thing things vehicle
    vehicles wall
    """
)
#: A text with one of these is English, whatever other words of it another language has too.
ENGLISH_ALONE = _word_set(
    """
    a an and no not of or people person the with
    """
)
#: Words of pictures and of moderation that the dictionary lacks.
KNOWN_WORDS = _word_set(
    """
    barcode biathlete burqa cosplay deepfake emoji fentanyl hentai hijab ketamine kippah
    knifepoint livestream manji meth naloxone neo niqab nunchaku pixelated pyjamas qr
    rangoli screenshot screenshots selfie selfies shisha smartphone taser thinspiration
    upskirt vape vaper vaping webcam
    """
)
#: Given names of people of whom there are many pictures, or whom many people have.
GIVEN_NAMES = _word_set(
    """
    Adolf Albert Alexander Alice Angela Anna Anne Barack Benito Benjamin Bill Boris Carlos
    Charles Che Chris David Diana Donald Dwayne Elizabeth Elon Emily Emma Emmanuel Fidel
    George Greta Hassan Heinrich Hillary Ivan Jack Jair James Jane Jeff Jeffrey Jesus Joe
    Johann John Josef Joseph Juan Kamala Kanye Karl Kate Kim Leonardo Lionel Lisa Mao
    Maria Marine Mark Martin Mary Melania Michael Michelle Mohammed Muhammad Nancy
    Narendra Nelson Osama Paul Peter Recep Richard Robert Ronald Saddam Sarah Serena
    Stephen Steve Taylor Theresa Thomas Tom Viktor Vladimir Volodymyr Walter William
    Winston Xi
    """
)
